//! The commits of one room that are on their way to the disk.
//!
//! They take their places in the engine's sequence when they are first polled, so each is
//! polled once, in order, as soon as it is handed over; and they are answered in order.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use partyrs::seam::Hosted;
use partyrs::storage::{CommitError, StorageEngine};
use tokio::task::coop::unconstrained;

use crate::alarms::Alarms;
use crate::state::State;

/// Commits under way, oldest first.
pub(super) struct Commits {
    engine: Arc<dyn StorageEngine>,
    alarms: Arc<Alarms>,
    under_way: VecDeque<UnderWay>,
}

struct UnderWay {
    seq: u64,
    /// Whether alarms may be others afterwards.
    changes_alarms: bool,
    future: BoxFuture<'static, Result<(), CommitError>>,
    /// Answered out of turn: kept until those before it are.
    answer: Option<Result<(), CommitError>>,
}

impl Commits {
    pub(super) fn new(state: &State) -> Self {
        let (engine, alarms) = (Arc::clone(&state.engine), Arc::clone(&state.alarms));
        Self { engine, alarms, under_way: VecDeque::new() }
    }

    /// Hands new commits over, and opens the gate for those that have landed; whoever wakes
    /// rooms is told of their alarms. `Err` when
    /// one has failed: none after it lands.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, hosted: &Hosted) -> Result<(), CommitError> {
        for commit in hosted.fetch_commits() {
            let (seq, engine) = (commit.seq, Arc::clone(&self.engine));
            let changes_alarms = commit.writes.clears() || commit.writes.alarms().len() > 0;
            // Without tokio's budget: a first poll that it turns away would take no place, and
            // the next commit would take it.
            let future = unconstrained(async move { engine.commit(commit).await });
            let future: BoxFuture<'static, _> = Box::pin(future);
            let mut under_way = UnderWay { seq, changes_alarms, future, answer: None };
            under_way.poll(cx);
            self.under_way.push_back(under_way);
        }
        while let Some(first) = self.under_way.front_mut() {
            first.poll(cx);
            match first.answer.take() {
                None => return Ok(()),
                Some(Ok(())) => {
                    hosted.landed(first.seq);
                    if first.changes_alarms {
                        self.alarms.noted(hosted.room().address(), hosted.next_alarm_ms());
                    }
                    self.under_way.pop_front();
                }
                Some(Err(error)) => {
                    self.under_way.pop_front();
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Waits until nothing is under way, whatever the answers.
    pub(super) async fn settled(&mut self) {
        while let Some(commit) = self.under_way.pop_front() {
            if commit.answer.is_none() {
                let _ = commit.future.await;
            }
        }
    }
}

impl UnderWay {
    fn poll(&mut self, cx: &mut Context<'_>) {
        if self.answer.is_none()
            && let Poll::Ready(answer) = self.future.as_mut().poll(cx)
        {
            self.answer = Some(answer);
        }
    }
}
