//! What keeps a server's old release, and says why.

use super::{Mutant, Suite};

/// On a real `sshd` whose disk is full.
pub(super) const FULL: Suite = Suite {
    test: &["-p=deployr-exec", "--test=ssh", "full::"],
    mutants: &[Mutant {
        name: "a full disk of a server is taken for what passes",
        file: "deployr-exec/src/ssh/host/switch.sh",
        find: "printf '%s %s\\n' \"$3\" \"$4\" | put \"$base/turn.new\"",
        replace: "printf '%s %s\\n' \"$3\" \"$4\" >\"$base/turn.new\"",
    }],
};
