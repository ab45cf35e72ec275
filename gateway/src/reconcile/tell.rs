//! Says to boards and to people what the roster noticed: Down frames, and news of claims.

use jiff::{SignedDuration, Timestamp};
use nodling_protocol::Down;
use nodling_protocol::frame::{Message, Position, encode_clear};

use super::Action;
use super::core::Core;
use super::events::News;
use crate::clock::{Moment, Now};
use crate::roster::Note;
use crate::seen::digest;

impl Core {
    pub(super) fn down(&mut self, node: &str, position: Position, down: Down) -> Option<Action> {
        self.down_sequence += 1;
        let position = Position {
            sequence: self.down_sequence,
            ..position
        };
        let mut buffer = [0; 64];
        let len = encode_clear(&mut buffer, position, Message::Down(down)).ok()?;
        Some(Action::Down {
            node: node.into(),
            frame: buffer.get(..len)?.into(),
        })
    }

    /// Tells the board whether its Node takes new work.
    pub(super) fn tell_board(&mut self, index: usize, actions: &mut Vec<Action>) {
        let seen = self.kubes.get(index).and_then(|kube| kube.seen.as_deref());
        let member = self.roster.get(index);
        let claim = member.and_then(|member| member.claim());
        let (Some(seen), Some(claim)) = (seen, claim) else {
            return;
        };
        let position = Position {
            tag: claim.instance.tag(),
            session: claim.session,
            sequence: 0,
        };
        let (name, down) = (
            seen.name.clone(),
            Down::Unschedulable(seen.is_unschedulable),
        );
        let down = self.down(&name, position, down);
        actions.extend(down);
    }

    pub(super) fn note(&mut self, now: Now, index: usize, note: &Note, actions: &mut Vec<Action>) {
        self.grow(index);
        let name = self.roster.get(index).map_or("", |member| member.name());
        let at = |moment: Moment| {
            let ago = SignedDuration::try_from(now.moment.since(moment)).unwrap_or_default();
            now.wall.and_then(|wall| wall.checked_sub(ago).ok())
        };
        let time =
            |moment| at(moment).map_or_else(|| "?".to_owned(), |at: Timestamp| format!("{at:.0}"));
        let news = match note {
            Note::Started => News::normal("Starting", "Starting nodling-agent.".to_owned()),
            Note::Duplicate {
                holder,
                heard,
                claimant,
            } => {
                let heard = heard.map_or_else(
                    || "known from the Node's annotation".to_owned(),
                    |(first, last)| format!("heard from {} to {}", time(first), time(last)),
                );
                let message = format!(
                    "instance {claimant} claims the name {name}, which instance {holder} holds \
                     ({heard}); give one of the two boards another node name, or stop the one \
                     that is to go"
                );
                News {
                    key: Some(digest(&(holder.0, claimant.0))),
                    ..News::warning("DuplicateNode", message)
                }
            }
            Note::Cloned { instance, other } => {
                let message = format!(
                    "instance {instance} runs on two boards (here and as {other}): a card was \
                     copied; delete the agent's state directory on one of them"
                );
                News::warning("ClonedCard", message)
            }
        };
        let is_started = *note == Note::Started;
        if let Some(kube) = self.kubes.get_mut(index)
            && kube.untold.len() < 8
        {
            let is_new = !kube.untold.iter().any(|old| old.reason == news.reason);
            // Until the Node has a uid, once is enough.
            if is_new || kube.seen.is_some() {
                kube.untold.push(news);
            }
        }
        let is_cordoned = self
            .kubes
            .get(index)
            .and_then(|kube| kube.seen.as_deref())
            .is_some_and(|seen| seen.is_unschedulable);
        if is_started && is_cordoned {
            self.tell_board(index, actions);
        }
    }
}
