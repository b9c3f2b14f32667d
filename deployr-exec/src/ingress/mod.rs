//! What sends the requests for public names to releases.

#[cfg(feature = "builtin-ingress")]
pub mod builtin;
#[cfg(feature = "caddy-ingress")]
pub mod caddy;

#[cfg(feature = "builtin-ingress")]
pub use builtin::BuiltinIngress;
#[cfg(feature = "caddy-ingress")]
pub use caddy::{AdminAddress, CaddyIngress};
