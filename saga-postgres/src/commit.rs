//! Storing a batch: one statement if all goes well, and what is done if it does not.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use metrics::counter;
use saga_core::id::SagaId;
use saga_core::port::{Commit, CommitError, Committed};
use sqlx::PgConnection;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use crate::commit_arguments::{bind_commits, bind_lost, expected_version, key, needed_definition, start};
use crate::database::Database;
use crate::error::{Failure, without_effect};
use crate::pool::Statement;
use crate::row::{read, read_saga};
use crate::table::commit::{COMMIT, WHY_NOT_STORED};
use crate::transaction::Tx;

/// What became of one commit.
pub(crate) type Outcome = Result<Committed, CommitError>;

/// One call of `Store::commit` or `StartIn::start_in`.
pub(crate) struct Call<'a> {
    database: &'a Database,
    /// Names the call in the journal, so that a commit whose answer was lost is recognised.
    id: Uuid,
    lease: Duration,
}

/// A commit and its place in the batch.
#[derive(Clone, Copy)]
struct Part<'a> {
    index: usize,
    commit: &'a Commit,
}

/// What stood in the way of a commit, from a row of [`WHY_NOT_STORED`].
struct Reason {
    /// Nothing did: an earlier attempt of the same call stored it.
    ours: bool,
    /// Its definition is registered.
    known: bool,
    /// Its saga is in the store.
    there: bool,
    /// Who has its business key, and whether that saga was started with the same input.
    holder: Option<(SagaId, bool)>,
}

impl<'a> Call<'a> {
    pub(crate) fn new(database: &'a Database, lease: Duration) -> Self {
        Call { database, id: database.fresh_id(), lease }
    }

    /// Stores a batch in one transaction. A value that Postgres refuses splits the batch until it is alone. A start whose
    /// business key is held by a transaction that is open is not waited for longer than [`KEY_WAIT`], and by nobody else.
    pub(crate) async fn store(&self, batch: &[Commit]) -> Vec<Outcome> {
        let (mut outcomes, sound) = self.refuse_unsound(batch);
        let mut waiting = vec![(sound, KEY_WAIT)];
        while let Some((mut parts, key_wait)) = waiting.pop() {
            match self.write(&parts, key_wait).await {
                Ok(written) => settle(&mut outcomes, &parts, written),
                Err(Failure::Data(_)) if parts.len() > 1 => {
                    let second_half = parts.split_off(parts.len() / 2);
                    waiting.extend([(second_half, key_wait), (parts, key_wait)]);
                }
                Err(Failure::Data(why)) => settle(&mut outcomes, &parts, [Err(CommitError::Rejected(why))]),
                Err(Failure::Blocked(_)) if parts.len() > 1 && parts.iter().any(has_key) => {
                    let (keyed, free): (Vec<_>, Vec<_>) = parts.into_iter().partition(has_key);
                    waiting.extend(keyed.into_iter().map(|part| (vec![part], KEY_WAIT_AGAIN)));
                    waiting.push((free, KEY_WAIT));
                }
                Err(failure @ Failure::Blocked(_)) => fail(&mut outcomes, &parts, &failure),
                Err(failure) => {
                    fail(&mut outcomes, &parts, &failure);
                    let untried: Vec<_> = waiting.drain(..).flat_map(|(parts, _)| parts).collect();
                    fail(&mut outcomes, &untried, &without_effect(failure));
                }
            }
        }
        outcomes.into_iter().flatten().collect()
    }

    /// Stores a start in the caller's transaction.
    pub(crate) async fn start_in(&self, tx: &mut PgConnection, commit: &Commit) -> Outcome {
        if start(commit).is_none() {
            return Err(CommitError::Rejected("only a start can join a transaction".into()));
        }
        self.check(commit).map_err(CommitError::Rejected)?;
        let stored = self.statement(&[commit], None).fetch_all(&mut *tx).await.map_err(in_transaction)?;
        if !stored.is_empty() {
            return Ok(Committed::Stored);
        }
        let rows = self.question(&[commit]).fetch_all(tx).await.map_err(in_transaction)?;
        let reasons = reasons(&rows).map_err(store_error)?;
        explain(reasons.get(&commit.id), commit)
    }

    /// Stores moves, all or none, in a transaction that the caller commits.
    pub(crate) async fn move_in(&self, tx: &mut Tx, moves: &[Commit]) -> Result<(), CommitError> {
        moves.iter().try_for_each(|commit| self.check(commit)).map_err(CommitError::Rejected)?;
        // In the order in which all others lock them.
        let mut commits: Vec<&Commit> = moves.iter().collect();
        commits.sort_unstable_by_key(|commit| commit.id);
        let statement = self.statement(&commits, None);
        let stored = tx.lease().answer(|connection| statement.fetch_all(connection)).await;
        match stored.map_err(without_effect) {
            Ok(stored) if stored.len() < moves.len() => Err(CommitError::Conflict),
            Ok(_) => Ok(()),
            Err(Failure::Data(why)) => Err(CommitError::Rejected(why)),
            // Another transaction was in the way of this one.
            Err(Failure::Collision(_)) => Err(CommitError::Conflict),
            Err(failure) => Err(store_error(failure)),
        }
    }

    /// The outcomes of commits that are not even tried, and the others in the order of their ids.
    fn refuse_unsound<'b>(&self, batch: &'b [Commit]) -> (Vec<Option<Outcome>>, Vec<Part<'b>>) {
        let refuse = |commit| self.check(commit).err().map(|why| Err(CommitError::Rejected(why)));
        let outcomes: Vec<Option<Outcome>> = batch.iter().map(refuse).collect();
        let parts = batch.iter().enumerate().map(|(index, commit)| Part { index, commit });
        let mut sound: Vec<_> = parts.filter(|part| outcomes[part.index].is_none()).collect();
        sound.sort_unstable_by_key(|part| part.commit.id);
        (outcomes, sound)
    }

    /// What no constraint could catch: bodies over the configured limit, a journal that skips a version.
    fn check(&self, commit: &Commit) -> Result<(), String> {
        self.database.check_bodies(&commit.outbox)?;
        let expected = expected_version(commit);
        let versions = commit.journal.iter().map(|entry| entry.version);
        if commit.journal.is_empty() || !versions.eq((expected + 1..).take(commit.journal.len())) {
            let saga = commit.id;
            return Err(format!("the journal of saga {saga} does not go on from version {expected}"));
        }
        Ok(())
    }

    /// Writes commits with one statement, again if it collided with others or if its answer was lost.
    ///
    /// Writing again is how a lost answer is made good. If the first attempt was stored, or is stored while the
    /// second waits for its locks, the second finds every saga moved on, and the journal names this call. If it
    /// was not, the second is stored, and the first, should it reach the server yet, finds every saga moved on.
    async fn write(&self, parts: &[Part<'_>], key_wait: &'static str) -> Result<Vec<Outcome>, Failure> {
        if parts.is_empty() {
            return Ok(Vec::new());
        }
        let commits: Vec<&Commit> = parts.iter().map(|part| part.commit).collect();
        let key_wait = parts.iter().any(has_key).then_some(key_wait);
        let mut in_doubt = false;
        for _ in 1..ATTEMPTS {
            match self.database.fetch(self.statement(&commits, key_wait)).await {
                Err(Failure::Lost(_)) => in_doubt = true,
                Err(Failure::Collision(_)) => counter!("saga_commit_collisions_total").increment(1),
                answer => return self.read_answer(&commits, answer, in_doubt).await,
            }
        }
        let answer = self.database.fetch(self.statement(&commits, key_wait)).await;
        self.read_answer(&commits, answer, in_doubt).await
    }

    /// The outcomes of a statement that was answered, or the failure, which leaves a doubt as it was.
    async fn read_answer(
        &self,
        commits: &[&Commit],
        answer: Result<Vec<PgRow>, Failure>,
        in_doubt: bool,
    ) -> Result<Vec<Outcome>, Failure> {
        match answer {
            Ok(rows) => self.outcomes(commits, &rows, in_doubt).await,
            Err(Failure::Data(why)) => Err(Failure::Data(why)),
            Err(Failure::Unavailable(why) | Failure::Collision(why) | Failure::Blocked(why)) if in_doubt => {
                count_resolved("unknown");
                Err(Failure::Lost(why))
            }
            Err(Failure::Permanent(why)) if in_doubt => {
                count_resolved("unknown");
                Err(Failure::Lost(why))
            }
            Err(failure) => Err(failure),
        }
    }

    /// Reads what the statement stored, and asks about the rest where it is not clear.
    async fn outcomes(
        &self,
        commits: &[&Commit],
        rows: &[PgRow],
        in_doubt: bool,
    ) -> Result<Vec<Outcome>, Failure> {
        let stored = rows.iter().map(|row| read_saga(row, "saga")).collect::<Result<HashSet<_>, _>>()?;
        let is_unclear = |commit: &&Commit| {
            !stored.contains(&commit.id) && (in_doubt || needed_definition(commit).is_some())
        };
        let unclear: Vec<&Commit> = commits.iter().copied().filter(is_unclear).collect();
        let reasons = self.ask(&unclear).await;
        if in_doubt {
            count_resolved(resolution(&reasons));
        }
        let outcome = |commit: &&Commit| match &reasons {
            _ if stored.contains(&commit.id) => Ok(Committed::Stored),
            Err(failure) if is_unclear(commit) => Err(store_error(failure.clone())),
            Err(_) => Err(CommitError::Conflict),
            Ok(reasons) => explain(reasons.get(&commit.id), commit),
        };
        Ok(commits.iter().map(outcome).collect())
    }

    async fn ask(&self, unclear: &[&Commit]) -> Result<HashMap<SagaId, Reason>, Failure> {
        if unclear.is_empty() {
            return Ok(HashMap::new());
        }
        reasons(&self.database.fetch(self.question(unclear)).await?)
    }

    /// `key_wait` is how long a start waits for a business key that an open transaction holds; as long as it takes, if
    /// nothing is said.
    fn statement(&self, commits: &[&Commit], key_wait: Option<&'static str>) -> Statement {
        let statement = self.database.statement(COMMIT).bind(self.id).bind(&self.database.writer);
        bind_commits(statement, self.lease, commits).bind(key_wait)
    }

    fn question(&self, commits: &[&Commit]) -> Statement {
        bind_lost(self.database.statement(WHY_NOT_STORED).bind(self.id), commits)
    }
}

fn reasons(rows: &[PgRow]) -> Result<HashMap<SagaId, Reason>, Failure> {
    let reason = |row: &PgRow| {
        let holder = read::<Option<Uuid>>(row, "holder")?.map(SagaId::from_uuid);
        let same_input = read::<Option<bool>>(row, "same_input")?.unwrap_or_default();
        let reason = Reason {
            ours: read(row, "ours")?,
            known: read(row, "known")?,
            there: read(row, "there")?,
            holder: holder.map(|holder| (holder, same_input)),
        };
        Ok((read_saga(row, "id")?, reason))
    };
    rows.iter().map(reason).collect()
}

/// The outcome of a commit that the statement did not store; a move that nobody asked about lost its race.
fn explain(reason: Option<&Reason>, commit: &Commit) -> Outcome {
    match (reason, needed_definition(commit)) {
        (Some(Reason { ours: true, .. }), _) => Ok(Committed::Stored),
        (Some(Reason { holder: Some((holder, true)), .. }), _) => Ok(Committed::Existing(*holder)),
        (Some(Reason { holder: Some((holder, false)), .. }), _) => Err(CommitError::KeyTaken(*holder)),
        (Some(Reason { known: false, .. }), Some(definition)) => {
            let why = format!("{definition} is not registered, or with another fingerprint");
            Err(CommitError::Rejected(why))
        }
        (Some(Reason { there: false, .. }), Some(_)) => {
            let why = format!("nothing stands in the way of saga {} any more", commit.id);
            Err(store_error(Failure::Unavailable(why)))
        }
        (Some(_), _) | (None, _) => Err(CommitError::Conflict),
    }
}

fn has_key(part: &Part<'_>) -> bool {
    key(part.commit).is_some()
}

fn settle(outcomes: &mut [Option<Outcome>], parts: &[Part<'_>], written: impl IntoIterator<Item = Outcome>) {
    for (part, outcome) in parts.iter().zip(written) {
        outcomes[part.index] = Some(outcome);
    }
}

fn fail(outcomes: &mut [Option<Outcome>], parts: &[Part<'_>], failure: &Failure) {
    settle(outcomes, parts, parts.iter().map(|_| Err(store_error(failure.clone()))));
}

fn store_error(failure: Failure) -> CommitError {
    CommitError::Store(failure.into())
}

/// An error in a transaction that the caller has not committed: whatever was lost has not happened.
fn in_transaction(error: sqlx::Error) -> CommitError {
    match without_effect(error.into()) {
        Failure::Data(why) => CommitError::Rejected(why),
        failure => store_error(failure),
    }
}

fn resolution(reasons: &Result<HashMap<SagaId, Reason>, Failure>) -> &'static str {
    match reasons {
        Ok(reasons) if reasons.values().any(|reason| reason.ours) => "committed",
        Ok(_) => "rolled_back",
        Err(_) => "unknown",
    }
}

fn count_resolved(resolved: &'static str) {
    counter!("saga_ambiguous_commits_total", "resolved" => resolved).increment(1);
}

/// Many times what a transaction with a start takes that somebody ends, and little beside the pauses of a retry: a batch
/// waits for no longer, and a start that is not stored is tried again.
const KEY_WAIT: &str = "250ms";

/// Their batch has waited for the keys already, and several may be held, and are tried one after the other.
const KEY_WAIT_AGAIN: &str = "10ms";

/// How often a batch is written before its caller hears of it. A second deadlock of the same batch is rare, since
/// rows are locked in order, and a server that went away is better waited for by the caller, who backs off.
const ATTEMPTS: usize = 3;

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use saga_core::definition::{DefinitionRef, Fingerprint};
    use saga_core::id::SagaName;
    use saga_core::port::{Change, Start, Status};

    use super::*;

    /// Who is told that its start was stored before would wait for the saga for ever.
    #[test]
    fn a_start_in_whose_way_nothing_stands_any_more_is_to_be_tried_again() {
        let fingerprint = Fingerprint::from_uuid(Uuid::nil());
        let definition = DefinitionRef { name: SagaName::new("order").unwrap(), version: 1, fingerprint };
        let commit = Commit {
            id: SagaId::from_uuid(Uuid::nil()),
            change: Change::Start(Start { definition, key: None, input: Uuid::nil(), parent: None }),
            status: Status::Running,
            state: Bytes::new(),
            data: Bytes::new(),
            parked: None,
            journal: Vec::new(),
            outbox: Vec::new(),
            timers: Vec::new(),
        };
        let explained = |there| {
            explain(Some(&Reason { ours: false, known: true, there, holder: None }), &commit).unwrap_err()
        };
        assert!(matches!(explained(true), CommitError::Conflict));
        assert!(explained(false).is_temporary());
    }
}
