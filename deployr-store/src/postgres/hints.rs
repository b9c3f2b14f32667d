//! Hints on their way to other nodes: gathered, so that one notification carries many,
//! and written as text.

use std::collections::HashSet;

use deployr_core::bus::Hint;
use deployr_core::model::DeploymentId;
use uuid::Uuid;

/// More deployments than these are told as [`Hint::Missed`], which stands for all.
const MOST: usize = 1_000;

/// How many deployments one notification carries: Postgres takes less than 8,000 bytes.
const IN_ONE: usize = 200;

/// What is to be told, each once.
#[derive(Debug, Default)]
pub(super) struct Hints {
    jobs: bool,
    cancel: bool,
    missed: bool,
    deployments: HashSet<DeploymentId>,
}

impl Hints {
    pub(super) fn add(&mut self, hint: Hint) {
        match hint {
            Hint::Jobs => self.jobs = true,
            Hint::Cancel => self.cancel = true,
            Hint::Deployment(id) if self.deployments.len() < MOST => {
                self.deployments.insert(id);
            }
            // One too many, and whatever there will be.
            _ => self.missed = true,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        !(self.jobs || self.cancel || self.missed) && self.deployments.is_empty()
    }

    /// Adds what `others` has.
    pub(super) fn take_back(&mut self, others: Self) {
        self.jobs |= others.jobs;
        self.cancel |= others.cancel;
        self.missed |= others.missed;
        for id in others.deployments {
            self.add(Hint::Deployment(id));
        }
    }

    /// As notifications of `node`.
    pub(super) fn to_payloads(&self, node: Uuid) -> Vec<String> {
        let node = node.simple();
        if self.missed {
            return vec![format!("{node} missed")];
        }
        let kinds = [("jobs", self.jobs), ("cancel", self.cancel)];
        let kinds = kinds.into_iter().filter(|(_, there)| *there);
        let kinds = kinds.map(|(kind, _)| kind.to_owned());
        let ids = self.deployments.iter();
        let words: Vec<String> = kinds
            .chain(ids.map(|id| id.as_uuid().simple().to_string()))
            .collect();
        let payload = |words: &[String]| format!("{node} {}", words.join(" "));
        words.chunks(IN_ONE).map(payload).collect()
    }
}

/// The hints of a notification; none of one's own.
pub(super) fn read(payload: &str, node: Uuid) -> Vec<Hint> {
    let mut words = payload.split(' ');
    if words.next().and_then(|from| from.parse().ok()) == Some(node) {
        return Vec::new();
    }
    let hint = |word: &str| match word {
        "jobs" => Hint::Jobs,
        "cancel" => Hint::Cancel,
        // A later version may know more kinds: then it is better to look everything up.
        _ => word.parse().map_or(Hint::Missed, |id| {
            Hint::Deployment(DeploymentId::from_uuid(id))
        }),
    };
    words.map(hint).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployment(number: u128) -> Hint {
        Hint::Deployment(DeploymentId::from_uuid(Uuid::from_u128(number)))
    }

    fn gathered(hints: impl IntoIterator<Item = Hint>) -> Hints {
        let mut gathered = Hints::default();
        hints.into_iter().for_each(|hint| gathered.add(hint));
        gathered
    }

    const HERE: Uuid = Uuid::from_u128(1);
    const THERE: Uuid = Uuid::from_u128(2);

    #[test]
    fn each_is_told_once_and_to_others_only() {
        let hints = [
            Hint::Jobs,
            deployment(7),
            Hint::Jobs,
            deployment(7),
            Hint::Cancel,
        ];
        let payloads = gathered(hints).to_payloads(HERE);
        assert_eq!(payloads.len(), 1);
        let told = read(&payloads[0], THERE);
        assert_eq!(told, [Hint::Jobs, Hint::Cancel, deployment(7)]);
        assert_eq!(read(&payloads[0], HERE), []);
        assert!(gathered([]).is_empty());
    }

    #[test]
    fn as_many_as_fit() {
        let most = gathered((1..=MOST as u128).map(deployment)).to_payloads(HERE);
        assert!(most.iter().all(|payload| payload.len() < 8_000));
        let told: HashSet<Uuid> = most
            .iter()
            .flat_map(|payload| read(payload, THERE))
            .map(|hint| match hint {
                Hint::Deployment(id) => id.as_uuid(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(told.len(), MOST);

        let mut too_many = gathered((0..=MOST as u128).map(deployment));
        let told = too_many.to_payloads(HERE);
        assert_eq!(told.len(), 1);
        assert_eq!(read(&told[0], THERE), [Hint::Missed]);
        too_many = Hints::default();
        too_many.take_back(gathered([Hint::Jobs, deployment(3)]));
        assert_eq!(
            read(&too_many.to_payloads(HERE)[0], THERE),
            [Hint::Jobs, deployment(3)]
        );
    }

    #[test]
    fn what_is_not_understood_means_to_look_everything_up() {
        for payload in ["", " ", "nobody what", &format!("{THERE} later-kind")] {
            let told = read(payload, HERE);
            assert!(
                told.iter().all(|hint| *hint == Hint::Missed),
                "{payload:?}: {told:?}"
            );
        }
    }
}
