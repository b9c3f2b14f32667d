//! Docker, Compose and Swarm: releases in containers of the engine that all tests share.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use deployr_core::executor::{Endpoint, Executor};
use deployr_core::testing::executor::{ExecutorHarness, Serves, Site, conformance};
use deployr_exec::docker::DockerExecutor;
use deployr_testkit::docker::Docker;
use tempfile::TempDir;

use crate::fetch;

/// What one of them is besides.
#[derive(Clone, Copy)]
pub(crate) struct Kind {
    /// The executor over one of Docker.
    pub(crate) over: fn(DockerExecutor) -> Arc<dyn Executor>,
    /// Has the files of a site served by a process.
    pub(crate) serves: fn(&mut Site, &std::path::Path),
}

struct Harness {
    docker: &'static Docker,
    folder: TempDir,
    sites: AtomicUsize,
    kind: Kind,
}

impl Drop for Harness {
    /// The release that is present at the end still runs.
    fn drop(&mut self) {
        let instance = fs::read_to_string(self.folder.path().join("docker/instance"));
        let instance = instance.unwrap_or_default();
        self.docker
            .remove_all_with(&format!("deployr.instance={instance}"));
    }
}

#[async_trait]
impl ExecutorHarness for Harness {
    async fn executor(&self) -> Arc<dyn Executor> {
        let executor = DockerExecutor::new(self.folder.path().join("docker"));
        let executor = executor.socket(self.docker.socket());
        (self.kind.over)(executor.base_image(self.docker.busybox()))
    }

    async fn site(&self, serves: Serves, text: &str) -> Site {
        let number = self.sites.fetch_add(1, Ordering::Relaxed);
        let folder = self.folder.path().join(format!("built/{number}"));
        let mut site = Site::in_folder(&folder, serves, text);
        if serves == Serves::Process {
            (self.kind.serves)(&mut site, &folder);
        }
        site
    }

    async fn fetch(&self, endpoint: &Endpoint) -> Result<String, String> {
        fetch::page(endpoint.clone()).await
    }
}

pub(crate) async fn conform(docker: &'static Docker, kind: Kind) {
    conformance(async || {
        Arc::new(Harness {
            docker,
            folder: tempfile::tempdir().unwrap(),
            sites: AtomicUsize::new(0),
            kind,
        }) as Arc<dyn ExecutorHarness>
    })
    .await;
}
