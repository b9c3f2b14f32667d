//! Which functions cPanel documents, and what each is given: a client that asks for
//! anything else is wrong, however well the fake could answer it.

/// A function and its parameters: `!` marks one that must be there, `*` one that may come
/// again with `-1`, `-2`, … behind it.
type Function = (&'static str, &'static [&'static str]);

/// Over `/execute`. From UAPI 11.125.
const UAPI: &[Function] = &[
    ("DomainInfo/list_domains", &[]),
    (
        "DomainInfo/single_domain_data",
        &["domain!", "return_https_redirect_status"],
    ),
    (
        "Fileman/get_file_content",
        &[
            "dir!",
            "file!",
            "from_charset",
            "to_charset",
            "update_html_document_encoding",
        ],
    ),
    (
        "Fileman/get_file_information",
        &[
            "path!",
            "check_for_leaf_directories",
            "include_hash",
            "include_mime",
            "include_permissions",
            "show_hidden",
        ],
    ),
    (
        "Fileman/list_files",
        &[
            "dir!",
            "check_for_leaf_directories",
            "include_hash",
            "include_mime",
            "include_permissions",
            "limit_to_list",
            "mime_types",
            "only_these_files",
            "raw_mime_types",
            "show_hidden",
            "types",
        ],
    ),
    (
        "Fileman/save_file_content",
        &[
            "file!",
            "content",
            "dir",
            "fallback",
            "from_charset",
            "to_charset",
        ],
    ),
    // Its fields are told elsewhere than in the specification.
    (
        "Fileman/upload_files",
        &["dir!", "file-1!", "overwrite", "permissions", "getdiskinfo"],
    ),
    ("LangPHP/php_get_installed_versions", &[]),
    ("LangPHP/php_get_vhost_versions", &["vhost"]),
    ("LangPHP/php_set_vhost_versions", &["version!", "vhost!"]),
    ("Mysql/create_database", &["name!", "prefix-size"]),
    ("Mysql/create_user", &["name!", "password!", "prefix-size"]),
    ("Mysql/get_restrictions", &[]),
    ("Mysql/list_databases", &[]),
    ("Mysql/list_users", &[]),
    (
        "Mysql/set_privileges_on_database",
        &["database!", "user!", "privileges"],
    ),
    (
        "PassengerApps/edit_application",
        &[
            "name!",
            "clear_envvars",
            "deployment_mode",
            "domain",
            "enabled",
            "envvar_name*",
            "envvar_value*",
            "new_name",
            "path",
        ],
    ),
    ("PassengerApps/list_applications", &[]),
    (
        "PassengerApps/register_application",
        &[
            "domain!",
            "name!",
            "path!",
            "base_uri",
            "deployment_mode",
            "enabled",
            "envvar_name*",
            "envvar_value*",
        ],
    ),
    ("PassengerApps/unregister_application", &["name!"]),
    ("Postgresql/create_database", &["name!"]),
    ("Postgresql/create_user", &["name!", "password!"]),
    ("Postgresql/get_restrictions", &[]),
    ("Postgresql/grant_all_privileges", &["database!", "user!"]),
    ("Postgresql/list_databases", &[]),
    ("Postgresql/list_users", &[]),
    ("Quota/get_local_quota_info", &[]),
    (
        "SubDomain/addsubdomain",
        &["domain!", "rootdomain!", "canoff", "dir", "disallowdot"],
    ),
    ("Tokens/list", &[]),
    ("Variables/get_server_information", &["name"]),
    ("Variables/get_user_information", &["name"]),
    (
        "VersionControl/create",
        &["name!", "repository_root!", "type!", "source_repository"],
    ),
    ("VersionControl/delete", &["repository_root!"]),
    ("VersionControl/retrieve", &["fields"]),
    (
        "VersionControl/update",
        &["repository_root!", "branch", "name", "source_repository"],
    ),
    ("VersionControlDeployment/create", &["repository_root!"]),
    ("VersionControlDeployment/retrieve", &[]),
];

/// Over `/json-api/cpanel`: what has no equivalent in the newer one.
const API2: &[Function] = &[
    (
        "Cron/add_line",
        &["command!", "day!", "hour!", "minute!", "month!", "weekday!"],
    ),
    ("Cron/listcron", &[]),
    ("Cron/remove_line", &["line!"]),
    (
        "Fileman/fileop",
        &[
            "op!",
            "sourcefiles!",
            "doubledecode!",
            "destfiles",
            "metadata",
        ],
    ),
    ("Fileman/mkdir", &["path!", "name!", "permissions"]),
];

/// What is wrong with a call.
pub(super) fn check(
    is_uapi: bool,
    function: &str,
    given: &[(String, String)],
) -> Result<(), String> {
    let all = if is_uapi { UAPI } else { API2 };
    let Some((_, known)) = all.iter().find(|(name, _)| *name == function) else {
        return Err(format!("no such function: {function}"));
    };
    for (name, _) in given {
        let fits = |param: &&str| {
            let plain = param.trim_end_matches(['!', '*']);
            let again = || {
                name.strip_prefix(plain)?
                    .strip_prefix('-')?
                    .parse::<u16>()
                    .ok()
            };
            plain == name || param.ends_with('*') && again().is_some()
        };
        if !known.iter().any(fits) {
            return Err(format!("{function} has no parameter {name}"));
        }
    }
    let missing = known.iter().find(|param| {
        let name = param.strip_suffix('!');
        name.is_some_and(|name| !given.iter().any(|(given, _)| given == name))
    });
    match missing {
        Some(param) => Err(format!("{function} needs {}", param.trim_end_matches('!'))),
        None => Ok(()),
    }
}
