//! What a removal has left where a project was, as others have made it.

use std::fmt::Display;

use deployr_core::value::Slug;

/// Of more than these only the number is told.
const TOLD: usize = 10;

/// Tells deployr's own log of the names that stay in `folder` of `host`; nothing where there
/// are none.
pub(crate) fn tell(
    slug: &Slug,
    host: impl Display,
    folder: impl Display,
    names: impl IntoIterator<Item = impl Into<String>>,
) {
    let mut names: Vec<String> = names.into_iter().map(Into::into).collect();
    let more = names.len().saturating_sub(TOLD);
    names.truncate(TOLD);
    if !names.is_empty() {
        tracing::info!(
            project = %slug, %host, %folder, left = ?names, more,
            "the project is removed; what deployr has not made stays in its folder"
        );
    }
}
