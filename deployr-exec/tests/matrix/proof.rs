//! Which test shows that a kind of release works on a target. What each framework is built
//! to is shown by `framework.rs`.

const CONFORMS: &str = "deployr-exec/tests/conformance";

/// The file, from the repository's root, and the test in it.
pub(crate) fn of(target: &str, kind: &str) -> Option<(String, &'static str)> {
    let conforms = |name| (format!("{CONFORMS}/{target}.rs"), name);
    let own = |file: &str, name| (format!("deployr-exec/tests/{target}/{file}.rs"), name);
    Some(match (target, kind) {
        ("local", "files" | "process") => (
            format!("{CONFORMS}/executor.rs"),
            "the_local_executor_conforms",
        ),
        ("docker", "files" | "process") => conforms("the_docker_executor_conforms"),
        ("docker", "image") => own(
            "images",
            "an_image_runs_with_its_own_command_at_its_own_port",
        ),
        ("compose", "services") => conforms("the_compose_executor_conforms"),
        // What is no compose file is the Docker executor's, which it holds.
        ("compose", "files" | "process" | "image") => return of("docker", kind),
        ("swarm", "files" | "process") => conforms("the_swarm_executor_conforms"),
        ("swarm", "image") => own(
            "images",
            "an_image_runs_with_its_own_command_at_its_own_port",
        ),
        ("ssh", "files" | "process") => conforms("the_ssh_executor_conforms"),
        ("cpanel", "files") => conforms("the_cpanel_executor_conforms"),
        ("cpanel", "process") => own("more", "passenger_runs_each_release_anew"),
        _ => return None,
    })
}
