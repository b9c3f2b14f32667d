//! How an account and its host are.

/// How the account and its host are. All may be changed while it runs.
#[derive(Debug, Clone)]
pub struct Host {
    /// Answers are wrapped, lists come in two parts, and what is missing is an error.
    pub wrapped: bool,
    /// The token is taken no longer.
    pub expired: bool,
    /// How far its clock is off, in seconds.
    pub clock: i64,
    /// What the account may use, in bytes.
    pub quota: Option<u64>,
    /// How many files and folders it may have.
    pub inodes: Option<u64>,
    /// How large an upload may be.
    pub upload: Option<u64>,
    /// How many databases it may have.
    pub databases: usize,
    /// What a rename does to a link that is there.
    pub renames: Renames,
    /// Whether links can be made.
    pub links: bool,
    /// Whether folders can be removed, not only put into the trash.
    pub unlinks_folders: bool,
    /// Functions that the host has disabled, as `Mysql/create_user`.
    pub disabled: Vec<String>,
    /// The versions of PHP that are there.
    pub php: Vec<String>,
}

/// What a rename does where a link is there already: not told anywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renames {
    /// Replaces it in one step, as the system call does.
    Replaces,
    /// Says that it is there.
    Refuses,
    /// Moves into the folder that it leads to, as `mv` does.
    MovesInto,
}

/// A host that holds nothing up.
impl Default for Host {
    fn default() -> Self {
        Self {
            wrapped: false,
            expired: false,
            clock: 0,
            quota: None,
            inodes: None,
            upload: None,
            databases: 5,
            renames: Renames::Replaces,
            links: true,
            unlinks_folders: true,
            disabled: Vec::new(),
            php: ["ea-php74", "ea-php82"].map(str::to_owned).into(),
        }
    }
}
