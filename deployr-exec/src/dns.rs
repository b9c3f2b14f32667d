//! Asks DNS for the records that show whose a domain is.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use deployr_core::error::{Fault, StepResult};
use deployr_core::resolver::Resolver;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::RData;

/// DNS, by the name servers of this host or by those that are named. Keeps no answer, so
/// that a record which was made a moment ago is found; a name server in between may.
///
/// ```no_run
/// use deployr_core::resolver::Resolver;
/// use deployr_exec::DnsResolver;
///
/// # async fn look() -> deployr_core::error::StepResult<()> {
/// let dns = DnsResolver::system()?;
/// println!("{:?}", dns.txt("_deployr-challenge.example.com").await?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct DnsResolver(TokioResolver);

impl DnsResolver {
    /// By the name servers of this host (`/etc/resolv.conf`).
    ///
    /// # Errors
    ///
    /// A fault when they cannot be read.
    pub fn system() -> Result<Self, Fault> {
        let unread = |error: NetError| {
            let reason = format!("{error}; name a DNS server instead");
            Fault::permanent("read", "the name servers of this host", reason)
        };
        let builder = TokioResolver::builder_tokio().map_err(unread)?;
        Self::build(builder).map_err(unread)
    }

    /// By these name servers, the first that answers.
    ///
    /// # Errors
    ///
    /// A fault when they cannot be used.
    pub fn at(servers: &[SocketAddr]) -> Result<Self, Fault> {
        let server = |address: &SocketAddr| {
            let mut server = NameServerConfig::udp_and_tcp(address.ip());
            for connection in &mut server.connections {
                connection.port = address.port();
            }
            server
        };
        let servers = servers.iter().map(server).collect();
        let config = ResolverConfig::from_name_servers(servers);
        let provider = TokioRuntimeProvider::default();
        let builder = TokioResolver::builder_with_config(config, provider);
        Self::build(builder).map_err(|error| Fault::permanent("use", "the name servers", error))
    }

    fn build(
        mut builder: hickory_resolver::ResolverBuilder<TokioRuntimeProvider>,
    ) -> Result<Self, NetError> {
        let options = builder.options_mut();
        options.cache_size = 0;
        options.attempts = 2;
        options.timeout = Duration::from_secs(3);
        builder.build().map(Self)
    }
}

impl fmt::Debug for DnsResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DnsResolver").finish_non_exhaustive()
    }
}

#[async_trait]
impl Resolver for DnsResolver {
    async fn txt(&self, name: &str) -> StepResult<Vec<String>> {
        // With the dot, no search list of this host is tried.
        let answer = match self.0.txt_lookup(format!("{name}.")).await {
            Ok(answer) => answer,
            Err(error) if is_none(&error) => return Ok(Vec::new()),
            Err(error) => {
                let reason = format!("{error}; try again, or name another DNS server");
                return Err(Fault::retryable("look up", name, reason)
                    .because(error)
                    .into());
            }
        };
        let records = answer
            .answers()
            .iter()
            .filter_map(|record| match &record.data {
                RData::TXT(text) => Some(text.txt_data.concat()),
                _ => None,
            });
        Ok(records
            .map(|text| String::from_utf8_lossy(&text).into_owned())
            .collect())
    }
}

/// Whether it is an answer: the name, or a record of it, does not exist.
fn is_none(error: &NetError) -> bool {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => {
            matches!(
                none.response_code,
                ResponseCode::NoError | ResponseCode::NXDomain
            )
        }
        _ => false,
    }
}
