//! The scripts that a host runs, each a file of `host/`. They are sent with each call, so
//! nothing of ours has to be kept up to date there.

/// A script, and what it does in a word.
#[derive(Debug, Clone, Copy)]
pub(super) struct Script {
    pub(super) name: &'static str,
    pub(super) text: &'static str,
}

macro_rules! script {
    ($name:ident = $does:literal: $($part:literal)*) => {
        pub(super) const $name: Script = Script {
            name: $does,
            text: concat!(include_str!("host/lib.sh"), $(include_str!(concat!("host/", $part, ".sh"))),*),
        };
    };
}

script!(CHECK = "check": "process" "check");
script!(CURRENT = "read": "current");
script!(DOCTOR = "look over": "doctor");
script!(END_JOB = "stop": "process" "end_job");
script!(FOLLOW = "follow": "process" "follow");
script!(JOB = "run": "process" "job");
script!(LIST = "list": "list");
script!(LOOK = "look for": "look");
script!(MARK = "mark": "mark");
script!(PLACED = "look for": "placed");
script!(PLACE = "place": "lock" "place");
script!(READY = "switch": "turn" "ready");
script!(RECEIVE = "upload": "receive");
script!(REMOVE = "remove": "lock" "process" "remove");
script!(RETIRE = "stop": "lock" "process" "retire");
script!(START = "start": "lock" "process" "launch" "start");
script!(STATE = "look after": "process" "state");
script!(SUPERVISE = "run": "process" "supervise");
script!(SURVEY = "place": "survey");
script!(SWITCH = "switch": "lock" "turn" "switch");
script!(UNMARK = "mark": "unmark");
script!(UNSWITCH = "switch back": "lock" "turn" "unswitch");
script!(WORK = "start": "lock" "process" "launch" "work");
