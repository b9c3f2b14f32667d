//! `turn` holds the highest `<deployment> <attempt>` that has switched.

use deployr_core::error::Fault;
use deployr_core::model::Turn;

pub(super) fn text(turn: Turn) -> String {
    format!("{} {}\n", turn.deployment, turn.attempt)
}

/// Refuses a turn that is lower than what `text`, in the file `path`, has.
pub(super) fn check(turn: Turn, text: Option<&str>, path: &str) -> Result<(), Fault> {
    let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) else {
        return Ok(());
    };
    let mut words = text.split_whitespace().map(|word| word.parse::<i64>().ok());
    let highest = match (words.next().flatten(), words.next()) {
        (Some(deployment), None) => Turn::new(deployment, 0),
        (Some(deployment), Some(Some(attempt))) => Turn::new(deployment, attempt),
        _ => {
            let reason = "it holds no number; write the number of the last deployment into it";
            return Err(Fault::permanent("read", path, reason));
        }
    };
    if (turn.deployment, turn.attempt) >= (highest.deployment, highest.attempt) {
        return Ok(());
    }
    let reason = format!(
        "deployment {}, attempt {} comes after deployment {}, attempt {} has switched already; \
         nothing was changed. Deploy again (or, if the store was made anew, remove {path})",
        turn.deployment, turn.attempt, highest.deployment, highest.attempt
    );
    Err(Fault::permanent("switch", path, reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lower_turn_is_refused_for_good() {
        let at = |text: &str| check(Turn::new(5, 2), Some(text), "turn");
        for well in ["", "4 9\n", "5 2\n", "5 1", "5"] {
            assert!(at(well).is_ok(), "{well}");
        }
        for refused in ["5 3\n", "6 1", "6", "x", "5 x"] {
            assert!(!at(refused).unwrap_err().retryable, "{refused}");
        }
        assert!(check(Turn::new(1, 1), None, "turn").is_ok());
    }
}
