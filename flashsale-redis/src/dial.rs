//! One connection to whatever serves now: a server, the primary that sentinels name, or a cluster; checked before it is used.

use flashsale_core::BackendError;
use flashsale_core::error::ErrorKind;
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::io::tcp::TcpSettings;
use redis::{AsyncConnectionConfig, Cmd, ConnectionAddr, RedisResult, Value};

use crate::config::{RedisConfig, Topology};
use crate::fault::{self, Attempts};

/// The oldest server whose scripts may do what ours do.
const VERSION_MIN: (u32, u32) = (6, 2);

/// A connection. A clone is the same one: calls of all clones are pipelined.
#[derive(Clone)]
pub(crate) enum Wire {
    One(MultiplexedConnection),
    #[cfg(feature = "cluster")]
    Many(redis::cluster_async::ClusterConnection),
}

impl Wire {
    pub(crate) async fn ask(&mut self, command: &Cmd) -> RedisResult<Value> {
        // An error reply arrives as a value.
        match self {
            Self::One(one) => one.req_packed_command(command).await?.extract_error(),
            #[cfg(feature = "cluster")]
            Self::Many(many) => many.req_packed_command(command).await?.extract_error(),
        }
    }

    pub(crate) fn attempts(&self) -> Attempts {
        match self {
            Self::One(_) => Attempts::One,
            #[cfg(feature = "cluster")]
            Self::Many(_) => Attempts::Many,
        }
    }

    /// What every server behind it says of itself.
    async fn info(&mut self) -> RedisResult<Vec<String>> {
        let command = redis::cmd("INFO");
        let told = match self {
            Self::One(one) => one.req_packed_command(&command).await?,
            #[cfg(feature = "cluster")]
            Self::Many(many) => {
                use redis::cluster_routing::{MultipleNodeRoutingInfo, RoutingInfo};
                let all = RoutingInfo::MultiNode((MultipleNodeRoutingInfo::AllMasters, None));
                many.route_command(command, all).await?
            }
        };
        let mut pages = Vec::new();
        texts(told.extract_error()?, &mut pages);
        Ok(pages)
    }
}

/// Every text in a reply, however deep.
fn texts(value: Value, into: &mut Vec<String>) {
    match value {
        Value::BulkString(bytes) => into.push(String::from_utf8_lossy(&bytes).into_owned()),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => into.push(text),
        Value::Array(values) => values.into_iter().for_each(|value| texts(value, into)),
        // The keys are the nodes' addresses.
        Value::Map(pairs) => pairs.into_iter().for_each(|(_, value)| texts(value, into)),
        _ => {}
    }
}

/// Connects and checks.
pub(crate) async fn dial(config: &RedisConfig) -> Result<Wire, BackendError> {
    const OPERATION: &str = "redis.connect";
    let dialed = tokio::time::timeout(config.connect_timeout, async {
        let mut wire = connect(config).await?;
        let pages = wire.info().await?;
        Ok::<_, redis::RedisError>((wire, pages))
    });
    match dialed.await {
        Err(_) => Err(BackendError::unavailable(OPERATION, "no answer within the connect timeout")),
        Ok(Err(error)) => Err(fault::of_dial(OPERATION, &error)),
        Ok(Ok((wire, pages))) => match pages.iter().find_map(|page| objection(page)) {
            Some(why) => Err(BackendError::new(ErrorKind::Misconfigured, OPERATION, why)),
            None => Ok(wire),
        },
    }
}

/// Why a server cannot carry a gate, by its own words.
fn objection(info: &str) -> Option<String> {
    let field = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim);
    let mut version = field("redis_version")?.split('.').map_while(|part| part.parse::<u32>().ok());
    if (version.next()?, version.next()?) < VERSION_MIN {
        return Some(format!("the server is Redis {}, it must be 6.2 or later", field("redis_version")?));
    }
    match field("maxmemory_policy") {
        Some("noeviction") | None => None,
        Some(policy) => Some(format!(
            "maxmemory-policy is {policy}, which drops keys of a sale one by one; set it: CONFIG SET maxmemory-policy noeviction"
        )),
    }
}

/// The addresses, as the driver wants them.
fn addresses(config: &RedisConfig) -> Vec<ConnectionAddr> {
    config
        .nodes
        .iter()
        .map(|(host, port)| {
            if config.tls {
                ConnectionAddr::TcpTls { host: host.clone(), port: *port, insecure: false, tls_params: None }
            } else {
                ConnectionAddr::Tcp(host.clone(), *port)
            }
        })
        .collect()
}

#[cfg(feature = "tls-rustls")]
fn certificates(config: &RedisConfig) -> redis::TlsCertificates {
    // The application may have chosen another; then this changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    redis::TlsCertificates { client_tls: None, root_cert: config.ca.clone() }
}

fn tcp() -> TcpSettings {
    // A batch is small: waiting for more bytes would cost 40 ms.
    TcpSettings::default().set_nodelay(true)
}

/// The deadline of a call is ours: the driver's own would keep a connection that no longer answers.
fn patient(config: &RedisConfig) -> AsyncConnectionConfig {
    AsyncConnectionConfig::new().set_response_timeout(None).set_connection_timeout(Some(config.connect_timeout))
}

async fn connect(config: &RedisConfig) -> RedisResult<Wire> {
    match config.topology {
        Topology::Single => single(config).await,
        Topology::Sentinel => sentinel(config).await,
        Topology::Cluster => cluster(config).await,
    }
}

async fn single(config: &RedisConfig) -> RedisResult<Wire> {
    use redis::IntoConnectionInfo;
    let address = addresses(config).into_iter().next().ok_or((redis::ErrorKind::InvalidClientConfig, "no address"))?;
    let info = address.into_connection_info()?;
    let mut login = info.redis_settings().clone().set_skip_set_lib_name().set_db(config.database);
    if let Some(user) = &config.user {
        login = login.set_username(user);
    }
    if let Some(password) = &config.password {
        login = login.set_password(password);
    }
    let info = info.set_redis_settings(login).set_tcp_settings(tcp());
    let client = client(config, info)?;
    Ok(Wire::One(client.get_multiplexed_async_connection_with_config(&patient(config)).await?))
}

#[cfg(feature = "tls-rustls")]
fn client(config: &RedisConfig, info: redis::ConnectionInfo) -> RedisResult<redis::Client> {
    if config.tls { redis::Client::build_with_tls(info, certificates(config)) } else { redis::Client::open(info) }
}

#[cfg(not(feature = "tls-rustls"))]
fn client(_: &RedisConfig, info: redis::ConnectionInfo) -> RedisResult<redis::Client> {
    redis::Client::open(info)
}

#[cfg(feature = "sentinel")]
async fn sentinel(config: &RedisConfig) -> RedisResult<Wire> {
    use redis::sentinel::{SentinelClientBuilder, SentinelServerType};
    let mut builder = SentinelClientBuilder::new(addresses(config), &config.primary, SentinelServerType::Master)?
        .set_client_to_redis_db(config.database)
        .set_client_to_redis_tcp_settings(tcp());
    // User and password are those of the servers; sentinels of a shop are reached without.
    if let Some(user) = &config.user {
        builder = builder.set_client_to_redis_username(user);
    }
    if let Some(password) = &config.password {
        builder = builder.set_client_to_redis_password(password);
    }
    #[cfg(feature = "tls-rustls")]
    if config.tls {
        builder = builder
            .set_client_to_redis_tls_mode(redis::TlsMode::Secure)
            .set_client_to_redis_certificates(certificates(config))
            .set_client_to_sentinel_tls_mode(redis::TlsMode::Secure)
            .set_client_to_sentinel_certificates(certificates(config));
    }
    let mut client = builder.build()?;
    Ok(Wire::One(client.get_async_connection_with_config(&patient(config)).await?))
}

#[cfg(not(feature = "sentinel"))]
async fn sentinel(_: &RedisConfig) -> RedisResult<Wire> {
    Err((redis::ErrorKind::InvalidClientConfig, "built without the feature `sentinel`").into())
}

#[cfg(feature = "cluster")]
async fn cluster(config: &RedisConfig) -> RedisResult<Wire> {
    let mut builder = redis::cluster::ClusterClientBuilder::new(addresses(config))
        .connection_timeout(config.connect_timeout)
        .response_timeout(config.response_timeout)
        .tcp_settings(tcp())
        .retries(3)
        .min_retry_wait(10)
        .max_retry_wait(100);
    if let Some(user) = &config.user {
        builder = builder.username(user);
    }
    if let Some(password) = &config.password {
        builder = builder.password(password);
    }
    #[cfg(feature = "tls-rustls")]
    if config.tls {
        builder = builder.tls(redis::cluster::TlsMode::Secure).certs(certificates(config));
    }
    Ok(Wire::Many(builder.build()?.get_async_connection().await?))
}

#[cfg(not(feature = "cluster"))]
async fn cluster(_: &RedisConfig) -> RedisResult<Wire> {
    Err((redis::ErrorKind::InvalidClientConfig, "built without the feature `cluster`").into())
}

#[cfg(test)]
mod tests {
    use super::objection;

    #[test]
    fn a_server_that_evicts_or_is_too_old_is_refused() {
        let info = |version: &str, policy: &str| format!("redis_version:{version}\r\nmaxmemory_policy:{policy}\r\n");
        assert_eq!(objection(&info("7.0.15", "noeviction")), None);
        assert!(objection(&info("7.0.15", "allkeys-lru")).unwrap().contains("CONFIG SET"));
        assert!(objection(&info("6.0.16", "noeviction")).unwrap().contains("6.2"));
        assert_eq!(objection(&info("10.0.0", "noeviction")), None);
    }
}
