//! The suites for stores, outboxes and callers' transactions can fail: each of these stores has one flaw, and scenarios find it.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod broken;
#[macro_use]
#[path = "../common/mod.rs"]
mod common;
mod run_in;
mod start_in;

found! { saga_testkit::suite::store, crate::broken::Broken::new;
    IgnoresVersions {
        a_lost_race_writes_nothing: "a move from version 1 of 2",
        a_batch_stored_twice_is_stored_once: "a start again",
        of_many_that_move_a_saga_one_wins: "of eight, one moves the saga",
        batches_that_cross_do_not_hinder_each_other: "each saga is moved once",
    }
    SendsForLosers {
        a_lost_race_writes_nothing: "no message of a lost race",
        a_lost_race_harms_no_other_of_its_batch: "the messages of those that were stored",
        one_key_starts_one_saga: "nothing is sent",
    }
    ArmsForLosers {
        a_lost_race_writes_nothing: "no timer of a lost race",
    }
    FailsWholeBatches {
        a_lost_race_harms_no_other_of_its_batch: "saga 0 of a batch",
        bad_data_is_refused_alone: "commit 0 of the batch",
    }
    StoresText {
        a_saga_is_loaded_as_it_was_stored: "a saga that was started",
    }
    ShowsTheLastEntry {
        several_transitions_are_stored_at_once: "a journal entry for each",
        a_saga_is_shown_with_its_journal: "each transition as it was written",
    }
    ConfirmsAgain {
        a_batch_stored_twice_is_stored_once: "a start again",
    }
    StopsAtManyCommits {
        five_hundred_sagas_are_stored_at_once: "commit 256 of a batch",
    }
    TakesAnyBody {
        bad_data_is_refused_alone: "a body over the limit",
    }
    IgnoresKeys {
        one_key_starts_one_saga: "a key with the same input",
        one_key_twice_in_a_batch_starts_one_saga: "one saga of the key",
        of_many_that_start_one_key_one_wins: "one process starts the saga",
    }
    IgnoresInputs {
        one_key_starts_one_saga: "a key with another input",
    }
    RegistersAnything {
        a_definition_does_not_change_under_its_sagas: "registering a definition that changed",
    }
    StartsAnything {
        a_start_needs_its_definition_registered: "an unknown definition",
    }
    FiresEarly {
        a_timer_is_due_when_its_time_has_come: "the timers that are due",
    }
    NeverDropsTimers {
        a_step_has_one_timer: "the one timer",
    }
    LeasesForNoTime {
        a_timer_is_left_to_who_took_it: "a timer whose lease lasts",
        workers_share_the_timers_that_are_due: "a timer is taken twice",
    }
    LeasesForEver {
        a_timer_is_left_to_who_took_it: "a timer whose lease has ended",
    }
    GivesNoGrace {
        a_timer_that_nobody_took_is_put_off_once: "a timer that nobody took",
    }
    IgnoresLimits {
        workers_share_the_timers_that_are_due: "no more timers than were asked for",
        held_replies_stay_until_they_are_dropped: "no more than was asked for",
        lists_are_newest_first_and_paged: "a page of a list",
    }
    KnowsEverything {
        timers_of_unknown_definitions_are_left_alone: "who knows no definition",
        held_replies_are_read_by_those_who_know_their_definition: "who knows no definition",
    }
    HoldsTwice {
        held_replies_stay_until_they_are_dropped: "what was held",
    }
    NeverDropsHeld {
        held_replies_stay_until_they_are_dropped: "what was not dropped",
    }
    ListsBackwards {
        lists_are_newest_first_and_paged: "a page of a list",
    }
    KeepsDefinitions {
            an_upgraded_saga_takes_its_timers_with_it: "it has the other definition",
        }
        TakesRefusalsForRaces {
            an_upgrade_to_what_is_not_registered_is_refused: "it is no use to try again",
        }
        IgnoresFilters {
        lists_show_what_was_asked_for: "name: Some",
            lists_show_sagas_by_their_age: "none is so old",
        }
    HidesChildren {
        a_saga_shows_its_children: "its children, by id",
    }
    ReportsNoHealth {
        health_leaves_out_who_waits_for_its_parent: "it waits for nothing of its own",
        health_counts_what_is_there: "ages grow",
        the_workload_is_counted: "unsent messages",
    }
}

mod outbox {
    found! { saga_testkit::suite::outbox, crate::broken::Broken::outbox;
        DropsEmptyHeaders {
            a_row_is_claimed_as_it_was_inserted: "the message comes back as it was",
        }
        ClaimsNothingForItself {
            a_claim_lasts_as_long_as_its_lease: "what nobody has claimed",
        }
        LeasesForNoTime {
            a_claim_lasts_as_long_as_its_lease: "what nobody has claimed",
            relays_share_the_rows: "a row is claimed twice",
        }
        LeasesForEver {
            a_claim_lasts_as_long_as_its_lease: "a row whose claim has ended",
        }
        IgnoresLimits {
            relays_share_the_rows: "no more rows than were asked for",
        }
        DeletesTheFirst {
            a_row_is_deleted_by_its_own_id: "the other row stays",
        }
        PostponesForNoTime {
            a_postponed_row_is_due_later: "the row of a short pause",
        }
        DropsWhatItPostpones {
            a_postponed_row_is_due_later: "a row whose pause is over",
        }
        NeverSetsAside {
            a_row_that_is_set_aside_is_dead: "one row waits and one is dead",
        }
        ReportsNoHealth {
            the_backlog_counts_and_ages: "two rows wait",
        }
    }
}

mod in_transaction {
    found! { saga_testkit::suite::start_in, crate::broken::Broken::new;
        NeverCommits {
            a_start_commits_with_its_callers_transaction: "the saga is there",
        }
        CommitsWhatIsDropped {
            a_start_is_gone_with_its_callers_transaction: "the key is free",
        }
        AbortsOnTakenKeys {
            a_transaction_outlives_a_key_that_is_taken: "a free key",
        }
    }
}

mod retiring {
    found! { saga_testkit::suite::retire, crate::broken::Broken::new;
        NeverArchives {
            an_archived_saga_is_shown_and_nothing_else: "it is archived",
        }
        FreesKeys {
            a_business_key_outlives_its_saga: "the key of a saga that is archived",
        }
        RetiresEarly {
            only_what_has_ended_for_long_enough_is_retired: "none has ended for so long",
        }
        NeverNotesEnds {
            what_ran_as_a_step_stays_until_long_after_the_notice_of_its_parents_end: "once nothing can begin it",
        }
        NeedsNoHorizon {
            what_ran_as_a_step_stays_until_long_after_the_notice_of_its_parents_end: "a notice that is too young",
        }
        IgnoresLimits {
            the_longest_ended_is_retired_first: "no more than two at a time",
        }
        TellsTheFirst {
            every_participant_is_told_of_its_sagas: "whom it concerns is told",
        }
        RetiresUntold {
            a_definition_without_participants_on_record_keeps_its_sagas: "nobody could be told",
        }
        TellsTwice {
            workers_share_what_is_to_be_retired: "its end is told once",
        }
    }
}

mod of_local_steps {
    found! { saga_testkit::suite::run_in, crate::broken::Broken::new;
        NeverCommits {
            a_local_step_commits_with_its_sagas_move: "what the step wrote",
        }
        WritesAtOnce {
            a_local_step_commits_with_its_sagas_move: "nothing is there before the commit",
        }
        KeepsWorkOfLosers {
            a_local_step_is_gone_if_its_saga_was_moved_meanwhile: "what the loser wrote",
            a_local_step_whose_move_is_refused_leaves_nothing: "what it wrote",
            local_steps_that_share_a_commit_fall_together: "what was written beside the loser",
        }
        NeverRollsBack {
            local_steps_of_several_sagas_share_a_commit: "what each of them wrote",
        }
        RollsAllBack {
            local_steps_of_several_sagas_share_a_commit: "what each of them wrote",
        }
        MovesWhomItCan {
            local_steps_that_share_a_commit_fall_together: "the version of the saga beside the loser",
        }
        CommitsWhatIsDropped {
            a_local_step_that_is_dropped_leaves_nothing: "what was dropped",
        }
    }
}
