//! The smallest checkouts of each framework.

use std::fs;

use deployr_core::model::ProjectSettings;
use deployr_core::value::{BranchName, GitUrl, Slug, TargetName};
use tempfile::TempDir;

pub(crate) struct Sample {
    pub(crate) title: &'static str,
    /// What it is to be taken for.
    pub(crate) framework: &'static str,
    pub(crate) files: &'static [(&'static str, &'static str)],
}

const NEXT: &str = r#"{"scripts":{"build":"next build"},"dependencies":{"next":"15"}}"#;
const SERVER: &str = r#"{"scripts":{"start":"node server.js"}}"#;

pub(crate) const SAMPLES: &[Sample] = &[
    Sample {
        title: "Files as they are",
        framework: "static",
        files: &[("index.html", "")],
    },
    Sample {
        title: "Files that Node builds (Vite, Astro, ...)",
        framework: "node-static",
        files: &[("package.json", r#"{"scripts":{"build":"vite build"}}"#)],
    },
    Sample {
        title: "Node server",
        framework: "node",
        files: &[("package.json", SERVER)],
    },
    Sample {
        title: "Next.js, exported",
        framework: "next-export",
        files: &[
            ("package.json", NEXT),
            ("next.config.mjs", "export default { output: 'export' }"),
        ],
    },
    Sample {
        title: "Next.js, standalone",
        framework: "next-standalone",
        files: &[
            ("package.json", NEXT),
            ("next.config.mjs", "export default { output: 'standalone' }"),
        ],
    },
    Sample {
        title: "Next.js, `next start`",
        framework: "next",
        files: &[("package.json", NEXT)],
    },
    Sample {
        title: "Laravel",
        framework: "laravel",
        files: &[("artisan", ""), ("composer.json", "{}")],
    },
    Sample {
        title: "Laravel, with `[on_target]` emptied",
        framework: "laravel",
        files: &[
            ("artisan", ""),
            ("composer.json", "{}"),
            (
                "deployr.toml",
                "[on_target]\nprepare = 'true'\nmigrate = 'true'\nafter_switch = 'true'\n",
            ),
        ],
    },
    Sample {
        title: "Anything with a `start`",
        framework: "custom",
        files: &[("deployr.toml", "build = 'make'\nstart = './server'\n")],
    },
    Sample {
        title: "Dockerfile",
        framework: "dockerfile",
        files: &[("Dockerfile", "FROM base")],
    },
    Sample {
        title: "Compose file",
        framework: "compose",
        files: &[("compose.yaml", "services: {}")],
    },
];

impl Sample {
    pub(crate) fn checkout(&self) -> TempDir {
        let dir = TempDir::new().unwrap();
        for (name, text) in self.files {
            fs::write(dir.path().join(name), text).unwrap();
        }
        dir
    }

    /// The name of a project of this kind. Shared hosts are told what each is.
    pub(crate) fn slug(&self) -> Slug {
        Slug::parse(self.framework).unwrap()
    }
}

pub(crate) fn settings() -> ProjectSettings {
    let source = GitUrl::parse("https://example.com/a/b.git").unwrap();
    let branch = BranchName::parse("main").unwrap();
    ProjectSettings::new(source, branch, TargetName::parse("here").unwrap())
}
