//! The suite for transports can fail: each of these transports has one flaw, and scenarios find it.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod broken;
#[macro_use]
#[path = "../common/mod.rs"]
mod common;

found! { saga_testkit::suite::transport, crate::broken::Broken::new;
    LosesEveryTenth {
        a_confirmed_message_outlives_its_publisher: "1 messages are lost",
        ten_thousand_messages_are_settled_in_any_order: "nothing arrives",
    }
    PublishesTwice {
        readers_of_one_group_share_the_messages: "went to both readers",
    }
    DropsSecondCopies {
        two_messages_of_one_batch_may_share_their_id: "1 messages are lost",
    }
    DropsEmptyHeaders {
        a_message_arrives_byte_for_byte: "the headers arrive",
    }
    CutsTheLargestBody {
        bodies_up_to_the_limit_arrive_and_larger_ones_never_do: "the bodies that arrive",
    }
    CallsLargeBodiesTemporary {
        bodies_up_to_the_limit_arrive_and_larger_ones_never_do: "over it",
    }
    ConfirmsEverything {
        each_message_of_a_batch_has_its_own_result: "message 0 of a batch",
        a_topic_that_nobody_declared_harms_no_other_message: "message 7 of a batch",
        publishing_while_the_broker_is_away_ends_and_recovers: "nothing is confirmed",
        nothing_confirmed_is_lost_while_connections_are_cut: "nothing arrives",
    }
    ReportsOneTooLate {
        each_message_of_a_batch_has_its_own_result: "message 0 of a batch",
    }
    ForgetsWhenDeclaredAgain {
        declaring_again_changes_nothing: "5 messages are lost",
    }
    RefusesToDeclareAgain {
        many_clients_start_at_once: "declaring",
    }
    AcksOnReceive {
        what_was_not_settled_comes_again: "settling",
        closing_ends_reads_and_gives_back_what_is_out: "settling",
        a_message_whose_connection_was_cut_comes_again: "nothing arrives",
        nothing_is_lost_while_a_readers_connection_is_cut: "nothing arrives",
    }
    NeverAcks {
        what_was_not_settled_comes_again: "nothing that was settled comes again",
        ten_thousand_messages_are_settled_in_any_order: "nothing arrives",
    }
    HidesRedelivery {
        what_was_not_settled_comes_again: "marked as redelivered",
        a_released_message_comes_again: "marked as redelivered",
    }
    LosesWhatIsCancelled {
        receiving_can_be_cancelled: "are lost",
    }
    IgnoresTheLimit {
        no_more_than_the_limit_is_out: "and no more",
    }
    StopsAtTheLimit {
        no_more_than_the_limit_is_out: "goes on once there is room",
    }
    ReversesBatches {
        messages_of_one_key_keep_their_order: "which has the same key",
    }
    DoesNotClose {
        closing_ends_reads_and_gives_back_what_is_out: "a receive ends",
    }
    AcksReleases {
        a_released_message_comes_again: "1 messages are lost",
    }
    AcksDeadLetters {
        a_dead_letter_keeps_its_message_and_has_its_reason: "1 messages are lost",
    }
    HidesDeadReasons {
        a_dead_letter_keeps_its_message_and_has_its_reason: "has its reason",
    }
    StarvesTheSecondReader {
        readers_of_one_group_share_the_messages: "one reader of two",
    }
    TakesTopicsForQueues {
        each_group_gets_every_message: "are lost",
    }
    GivesEachReaderAGroup {
        readers_of_one_group_share_a_topic: "went to both readers",
        a_group_keeps_what_comes_while_nobody_reads: "are lost",
    }
    MixesTopics {
        each_group_gets_every_message: "what belongs to another topic came along",
    }
    RefusesUnreadTopics {
        a_topic_without_readers_takes_messages: "nobody listens",
    }
    HangsWhileAway {
        publishing_while_the_broker_is_away_ends_and_recovers: "within its deadline",
        publishing_into_silence_ends_and_recovers: "within its deadline",
    }
    CallsAwayPermanent {
        publishing_while_the_broker_is_away_ends_and_recovers: "is temporary",
    }
    CallsAwayRefused {
        publishing_while_the_broker_is_away_ends_and_recovers: "has not said no",
    }
    SubscribesWhileAway {
        publishing_while_the_broker_is_away_ends_and_recovers: "nothing is subscribed to",
    }
    ForgetsOnRestart {
        a_restart_keeps_confirmed_messages: "subscribing",
    }
}
