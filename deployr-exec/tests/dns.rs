//! Looking up whose a domain is, at a real name server.
#![cfg(feature = "dns")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use deployr_core::error::StepError;
use deployr_core::resolver::Resolver;
use deployr_exec::DnsResolver;
use deployr_testkit::dns::Dns;
use deployr_testkit::free_port;

const NAME: &str = "_deployr-challenge.shop.example.com";

#[tokio::test]
async fn records_are_read_as_they_are_at_present() {
    let server = Dns::start();
    let dns = DnsResolver::at(&[server.address()]).unwrap();
    assert_eq!(
        dns.txt(NAME).await.unwrap(),
        [""; 0],
        "the name does not exist"
    );
    server.set(NAME, &[]);
    assert_eq!(
        dns.txt(NAME).await.unwrap(),
        [""; 0],
        "it has no such record"
    );
    let long = "x".repeat(600);
    server.set(NAME, &["token", "with \"quotes\" and ü", &long]);
    let mut found = dns.txt(NAME).await.unwrap();
    found.sort();
    assert_eq!(found, ["token", "with \"quotes\" and ü", &long]);
    server.set(NAME, &["other"]);
    assert_eq!(dns.txt(NAME).await.unwrap(), ["other"]);
}

#[tokio::test]
async fn a_server_that_cannot_tell_is_a_fault_and_no_answer() {
    let server = Dns::start();
    let dns = DnsResolver::at(&[server.address()]).unwrap();
    let away = DnsResolver::at(&[([127, 0, 0, 1], free_port()).into()]).unwrap();
    let began = Instant::now();
    for (dns, name) in [(&dns, "broken.example.com"), (&away, NAME)] {
        match dns.txt(name).await {
            Err(StepError::Fault(fault)) if fault.retryable => {
                assert!(
                    fault
                        .to_string()
                        .starts_with(&format!("look up of {name} failed: "))
                );
                assert!(
                    fault
                        .reason
                        .ends_with("try again, or name another DNS server"),
                    "{fault}"
                );
            }
            other => panic!("must be a fault that may pass: {other:?}"),
        }
    }
    assert!(began.elapsed() < Duration::from_secs(60));
}
