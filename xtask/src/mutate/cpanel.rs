//! What keeps visitors of a shared host from the wrong release.

use super::{Mutant, Suite};

const LIVE: &str = "deployr-exec/src/cpanel/live.rs";
const PROBE: &str = "deployr-exec/src/cpanel/probe.rs";

/// On the fake.
pub(super) const ACCOUNT: Suite = Suite {
    // Without what takes long, and guards something else.
    test: &[
        "-p=deployr-exec",
        "--test=cpanel",
        "--",
        "--skip=frameworks::",
    ],
    mutants: &[
        Mutant {
            name: "an account is switched without the lock",
            file: LIVE,
            find: "            let before = held.current(&spec.slug).await?;\n            lock.still_held().await?;\n",
            replace: "            let before = held.current(&spec.slug).await?;\n",
        },
        Mutant {
            name: "an ill release stays on an account",
            file: LIVE,
            find: "Some(before) => self.go_back(spec, before, turn, ctx).await,",
            replace: "Some(_) => {}",
        },
        Mutant {
            name: "an account takes an older deployment's switch",
            file: "deployr-exec/src/cpanel/turn.rs",
            find: "if (turn.deployment, turn.attempt) >= (highest.deployment, highest.attempt) {",
            replace: "if turn.attempt >= 0 {",
        },
        Mutant {
            name: "an account's lock is given back while a change is unheard of",
            file: "deployr-exec/src/cpanel/lock.rs",
            find: "if !self.client.is_unsettled() && self.still_held().await.is_ok() {",
            replace: "if self.still_held().await.is_ok() {",
        },
        Mutant {
            name: "an account is asked again for a change that may yet come",
            file: "deployr-exec/src/cpanel/client.rs",
            find: "self.limit.is_none() || !call.changes()",
            replace: "true",
        },
        Mutant {
            name: "an account's tasks run again in the next attempt",
            file: "deployr-exec/src/cpanel/tasks.rs",
            find: "Some((of, before)) if of == turn.deployment.to_string() => before.parse().ok(),",
            replace: "Some((of, before)) if of.is_empty() => before.parse().ok(),",
        },
        Mutant {
            name: "PHP is told to forget in the new release only",
            file: PROBE,
            find: "if number_of(&entry.name).is_none() {",
            replace: "if number_of(&entry.name) != Some(spec.number) {",
        },
        Mutant {
            name: "a lock that nobody has is somebody's",
            file: "deployr-exec/src/cpanel/lock.rs",
            find: "    Ok(owner.is_none())\n",
            replace: "    Ok(owner.is_none() && age > LEASE)\n",
        },
        Mutant {
            name: "files on an account keep their modes",
            file: "deployr-exec/src/cpanel/pack.rs",
            find: "header.set_mode(if runs { 0o755 } else { 0o644 });",
            replace: "header.set_mode(if runs { mode } else { mode });",
        },
        Mutant {
            name: "an account's trees are removed under the lock",
            file: "deployr-exec/src/cpanel/remove.rs",
            find: "self.client.rename(path, &gone).await",
            replace: "self.client.remove(path).await.map(|()| drop(gone))",
        },
    ],
};

/// With the real ones.
pub(super) const FRAMEWORKS: Suite = Suite {
    test: &["-p=deployr-exec", "--test=cpanel", "frameworks::laravel"],
    mutants: &[
        Mutant {
            name: "a Laravel is given out whole",
            file: "deployr-exec/src/cpanel/plan.rs",
            find: "        (&on_target.web_root, &site.web, &site.domain, &site.git)\n",
            replace: "        (&on_target.web_root, &site.web, &None::<String>, &site.git)\n",
        },
        Mutant {
            name: "an account's releases share their variables",
            file: "deployr-exec/src/cpanel/place.rs",
            find: "        paths.retain(|path| !site.is_env_file(path));\n",
            replace: "        paths.retain(|path| site.is_env_file(path) || !path.as_str().is_empty());\n",
        },
    ],
};
