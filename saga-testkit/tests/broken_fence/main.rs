//! The suite for fences can fail: each of these fences has one flaw, and scenarios find it.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod broken;
#[macro_use]
#[path = "../common/mod.rs"]
mod common;

found! { saga_testkit::suite::fence, crate::broken::Broken::new;
    ForgetsRows {
        every_state_comes_back_as_it_was_written: "what was written last",
        a_second_copy_waits_and_sees_what_the_first_recorded: "sees what the first recorded",
        many_copies_of_a_command_run_it_once: "of sixteen copies",
        transactions_over_the_same_keys_do_not_deadlock: "each row is written",
        an_external_call_is_begun_before_it_is_made_and_recorded_after_it: "begun on record",
        a_call_that_lands_after_its_undo_is_undone_once_more: "the undo is on record",
        a_participant_that_stops_waits_for_its_calls: "its reply is on record",
        a_call_that_somebody_began_is_made_again_or_undone: "the answer to one that was begun",
    }
    LeavesPlaceholders {
        a_key_without_an_outcome_leaves_no_row: "no row without an outcome",
        several_keys_have_an_outcome_each: "the row of key 2",
    }
    SharesRows {
        participants_do_not_share_their_rows: "the row of another participant",
    }
    ForgetsWrites {
        what_a_handler_writes_commits_with_the_row: "what was committed",
    }
    CommitsWhatIsDropped {
        a_dropped_transaction_leaves_nothing: "no row is left",
        a_reply_is_sent_only_if_its_transaction_commits: "no row is left",
    }
    KeepsRefusedWrites {
        a_rollback_loses_what_the_handler_wrote_and_keeps_the_row: "the values of",
        several_keys_have_an_outcome_each: "the write of key 1",
    }
    RollsBackToTheBeginning {
        a_rollback_loses_what_the_handler_wrote_and_keeps_the_row: "the values of",
        several_keys_have_an_outcome_each: "the write of key 0",
    }
    NeverReplies {
        a_reply_is_sent_only_if_its_transaction_commits: "a reply whose claim has ended",
        several_keys_have_an_outcome_each: "a reply for each key",
    }
    DropsLargeReplies {
        a_reply_that_is_too_large_fails_its_transaction: "a reply over the limit",
    }
    ReadsBeforeItWaits {
        a_second_copy_waits_and_sees_what_the_first_recorded: "sees what the first recorded",
        many_copies_of_a_command_run_it_once: "of sixteen copies",
    }
    DoesNotWait {
        a_second_copy_waits_and_sees_what_the_first_recorded: "runs beside the first",
    }
    HoldsWhatIsStarted {
        a_slow_call_holds_back_no_other_command: "the gateway is called",
    }
    FailsWhenBusy {
        transactions_over_the_same_keys_do_not_deadlock: "beginning",
    }
    ForgetsRuns {
        runs_are_counted_until_they_are_forgotten: "counting beside a transaction",
    }
    NeverForgetsRuns {
        runs_are_counted_until_they_are_forgotten: "forgotten",
    }
    StandsStill {
        the_time_goes_on: "the time goes on",
    }
    NeverWatches {
        a_call_that_nobody_comes_back_with_is_looked_after: "the row is watched",
        a_refusal_of_the_only_call_is_not_undone_and_one_of_several_is: "may land yet",
    }
}

mod forgetting {
    found! { saga_testkit::suite::forget, crate::broken::Broken::new;
        NeedsNoNotice {
            no_row_goes_before_its_notice_and_the_horizon: "nothing goes without a notice",
        }
        MixesParticipants {
            a_notice_concerns_the_rows_of_one_participant_that_are_there: "the row of another participant stays",
        }
        IgnoresLimits {
            no_more_rows_go_than_was_asked_for: "no more than two at a time",
        }
        WaitsToForget {
            a_row_that_is_worked_on_is_not_waited_for: "not waited for",
        }
        KeepsCounts {
            counted_runs_go_with_their_row: "the count is forgotten",
        }
    }
}

mod watching {
    found! { saga_testkit::suite::watch, crate::broken::Broken::new;
        NeverWatches {
            a_watch_begins_with_its_transaction: "the row is watched",
        }
        WatchesAtOnce {
            a_watch_begins_with_its_transaction: "nothing is looked at before its pause",
        }
        LooksTwice {
            a_look_is_claimed_by_one_until_its_lease_is_over: "left alone",
            no_more_looks_are_claimed_than_was_asked_for: "each is claimed once",
        }
        LooksAtAllAgain {
            looks_that_did_not_end_are_claimed_one_at_a_time_and_behind_the_others: "and nothing with it",
        }
        NeverEndsALook {
            a_look_that_has_ended_is_due_again_after_its_pause: "a row that is due",
        }
        WatchesForEver {
            a_look_that_has_ended_is_due_again_after_its_pause: "the row is watched no longer",
        }
        IgnoresLimits {
            no_more_looks_are_claimed_than_was_asked_for: "no more than two at a time",
        }
        MixesParticipants {
            participants_do_not_look_after_each_other: "a participant's own rows",
        }
        ForgetsWatched {
            a_watched_row_is_not_forgotten: "a watched row is not forgotten",
        }
    }
}
