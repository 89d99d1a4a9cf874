//! A camera's URL, read as people write it: passwords with `@`, `#`, `%` in them, zone ids, queries kept byte for byte.
//! Not for what is at the other end of it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

mod secrets;

use secrets::pieces;

/// A camera's URL without its credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CameraUrl {
    /// How to talk to it.
    pub scheme: Scheme,
    /// Name or IPv4 address in lower case, or IPv6 address without brackets; a zone id after `%` is kept.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Path and query, byte for byte, beginning with `/`.
    pub target: String,
}

/// How to talk to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// HTTP.
    Http,
    /// HTTP over TLS.
    Https,
    /// RTSP.
    Rtsp,
    /// RTSP over TLS.
    Rtsps,
}

impl Scheme {
    /// As written in a URL.
    pub fn name(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
            Scheme::Rtsp => "rtsp",
            Scheme::Rtsps => "rtsps",
        }
    }

    /// The port that a URL without one means.
    pub fn default_port(self) -> u16 {
        match self {
            Scheme::Http => 80,
            Scheme::Https => 443,
            Scheme::Rtsp => 554,
            Scheme::Rtsps => 322,
        }
    }

    /// Whether it is over TLS.
    pub fn is_secure(self) -> bool {
        matches!(self, Scheme::Https | Scheme::Rtsps)
    }

    /// Whether RTSP is spoken, over TLS or not.
    pub fn is_rtsp(self) -> bool {
        matches!(self, Scheme::Rtsp | Scheme::Rtsps)
    }
}

/// User name and password, as found in a URL.
pub type UserInfo = (String, String);

/// Why a text is not a camera's URL. No variant carries the text: any piece of it may be a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Nothing before `://`.
    #[error("the url has no scheme; write http://… or rtsp://…")]
    MissingScheme,
    /// From HTTP to RTSP, or back.
    #[error("it leads from one of http and rtsp to the other; set url to where it leads")]
    OtherProtocol,
    /// Anything else before `://`.
    #[error("the url's scheme is not supported; write http://…, https://…, rtsp://… or rtsps://…")]
    UnknownScheme,
    /// Nothing between `://` and the path.
    #[error("the url has no host; write http://HOST/…")]
    MissingHost,
    /// A character that no host has.
    #[error(
        "the url's host has a character that no host has; write a name or an address, an IPv6 address in brackets, \
         and a / in a password as %2F"
    )]
    BadHost,
    /// Brackets around something else, or IPv6 without them.
    #[error("the url's IPv6 address can't be read; write it as in http://[fe80::1%eth0]/")]
    BadIpv6,
    /// Not 1 to 65535.
    #[error("the url's port is not a number from 1 to 65535; a / in a password is written %2F")]
    BadPort,
    /// A line end or the like.
    #[error("the url has a control character in it; remove it")]
    ControlCharacter,
}

impl CameraUrl {
    /// Reads a URL; credentials in it are handed out beside it, percent-decoded where that is possible, else as they stand.
    ///
    /// The credentials end at the last `@` before the path, so that `@ # ? % ^ ! :` in a password work (mediamtx #2069). A `#` in a value of the
    /// query (`?pwd=a#b`) is a part of it, and encoded: nobody configures a fragment. Any other fragment is dropped; a missing path becomes `/`.
    ///
    /// # Errors
    ///
    /// [`UrlError`], for a text that names no camera. No message repeats a part of the text.
    pub fn parse(text: &str) -> Result<(Self, Option<UserInfo>), UrlError> {
        let (mut url, user) = Self::read(text.trim())?;
        url.target = read_target(&with_marks_in_values(&url.target));
        Ok((url, user))
    }

    /// A URL without its fragment.
    fn parse_location(text: &str) -> Result<Self, UrlError> {
        let (mut url, _) = Self::read(text)?;
        url.target = read_target(&url.target);
        Ok(url)
    }

    /// Reads a URL; the target is left as it stands.
    fn read(text: &str) -> Result<(Self, Option<UserInfo>), UrlError> {
        if text.chars().any(char::is_control) {
            return Err(UrlError::ControlCharacter);
        }
        let (scheme, rest) = text.split_once("://").ok_or(UrlError::MissingScheme)?;
        let scheme = read_scheme(scheme)?;
        let (user, rest) = split_user(rest);
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        let (host, port) = read_authority(authority)?;
        let url = Self {
            scheme,
            host,
            port: port.unwrap_or(scheme.default_port()),
            target: target.to_owned(),
        };
        Ok((url, user.and_then(read_user)))
    }

    /// Where a Location field of a response from here points (RFC 3986 §5.2): absolute, without scheme, without host, relative; in
    /// quotes or angle brackets, with backslashes. Credentials in it are dropped.
    ///
    /// # Errors
    ///
    /// [`UrlError`], where it leads to no server that speaks the same protocol.
    pub fn join(&self, location: impl AsRef<[u8]>) -> Result<Self, UrlError> {
        let location = location_text(location.as_ref());
        let around = |char: char| char.is_whitespace() || "\"'<>".contains(char);
        let mut joined = self.join_any(&with_slashes(location.trim_matches(around)))?;
        // `http://0.0.0.0/path`, `http://127.0.0.1/path`: a server that knows only what it listens on. To us that would be this machine.
        if is_unspecified(&joined.host) || is_loopback(&joined.host) && !is_loopback(&self.host) {
            joined.host.clone_from(&self.host);
        }
        // Whoever says it can't know by which of our interfaces we reach it (RFC 4007 §6).
        if let Some((own, zone)) = self.host.split_once('%')
            && (joined.host == own || is_link_local(&joined.host))
        {
            joined.host = format!("{}%{zone}", joined.host);
        }
        match joined.scheme.is_rtsp() == self.scheme.is_rtsp() {
            true => Ok(joined),
            false => Err(UrlError::OtherProtocol),
        }
    }

    fn join_any(&self, location: &str) -> Result<Self, UrlError> {
        if let Some((scheme, rest)) = split_scheme(location) {
            if rest.starts_with("//") && !rest.starts_with("///") {
                return Self::parse_location(location);
            }
            // `http:/path` and `http:///path`: a server that left its own name out.
            let scheme = read_scheme(scheme)?;
            if scheme.is_rtsp() != self.scheme.is_rtsp() {
                return Err(UrlError::OtherProtocol);
            }
            let path = rest.trim_start_matches('/');
            return Ok(self.with_target(&format!("/{path}")));
        }
        let scheme = self.scheme.name();
        if location.starts_with("//") {
            return Self::parse_location(&format!("{scheme}:{location}"));
        }
        if begins_with_address(location) {
            return Self::parse_location(&format!("{scheme}://{location}"));
        }
        if location.chars().any(char::is_control) {
            return Err(UrlError::ControlCharacter);
        }
        let path = self.target.split('?').next().unwrap_or("/");
        if location.starts_with('/') {
            Ok(self.with_target(location))
        } else if location.starts_with('?') {
            Ok(self.with_target(&format!("{path}{location}")))
        } else {
            let folder = &path[..=path.rfind('/').unwrap_or(0)];
            Ok(self.with_target(&format!("{folder}{location}")))
        }
    }

    /// Whether requests to both go to the same server: scheme, host and port are equal.
    pub fn has_same_origin(&self, other: &Self) -> bool {
        (self.scheme, &self.host, self.port) == (other.scheme, &other.host, other.port)
    }

    /// Whether the credentials of `home`, the configured URL, may go here: to the same origin, and to the same host over TLS.
    pub fn is_trusted_by(&self, home: &Self) -> bool {
        let upgraded =
            !home.scheme.is_secure() && self.scheme.is_secure() && home.host == self.host;
        home.has_same_origin(self) || upgraded
    }

    /// Host and port as a Host field has them (RFC 9110 §7.2): brackets around IPv6, no zone id, no default port.
    pub fn authority(&self) -> String {
        let host = self.host.split('%').next().unwrap_or_default();
        self.with_port(if host.contains(':') {
            format!("[{host}]")
        } else {
            host.to_owned()
        })
    }

    /// The texts in this URL that are not for eyes: what `Display` masks, as it stands and percent-decoded.
    pub fn secrets(&self) -> Vec<String> {
        let pieces = pieces(&self.target).into_iter();
        let mut secrets: Vec<String> = pieces
            .filter(|(_, is_secret)| *is_secret)
            .flat_map(|(text, _)| [text.to_owned(), decode(text)])
            .collect();
        secrets.dedup();
        secrets
    }

    fn with_target(&self, target: &str) -> Self {
        let target = read_target(target);
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target.as_str(), None),
        };
        let mut target = remove_dots(path);
        if let Some(query) = query {
            target.push('?');
            target.push_str(query);
        }
        Self {
            target,
            ..self.clone()
        }
    }

    fn with_port(&self, host: String) -> String {
        if self.port == self.scheme.default_port() {
            host
        } else {
            format!("{host}:{}", self.port)
        }
    }
}

/// Prints the URL for logs: what may be a secret in path and query is masked.
impl fmt::Display for CameraUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        };
        write!(f, "{}://{}", self.scheme.name(), self.with_port(host))?;
        for (text, secret) in pieces(&self.target) {
            f.write_str(if secret { "***" } else { text })?;
        }
        Ok(())
    }
}

fn read_scheme(scheme: &str) -> Result<Scheme, UrlError> {
    match scheme.to_ascii_lowercase().as_str() {
        "http" => Ok(Scheme::Http),
        "https" => Ok(Scheme::Https),
        "rtsp" => Ok(Scheme::Rtsp),
        "rtsps" => Ok(Scheme::Rtsps),
        "" => Err(UrlError::MissingScheme),
        _ => Err(UrlError::UnknownScheme),
    }
}

/// Scheme and the rest after its colon, where there is a scheme and not just a colon somewhere in a path.
fn split_scheme(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once(':')?;
    let plain = scheme
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    (plain
        && scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && rest.starts_with('/'))
    .then_some((scheme, rest))
}

/// A Location as text: bytes of another character set than UTF-8 are what the camera wants to be asked for, so they are encoded.
fn location_text(location: &[u8]) -> String {
    let encode = |byte: &u8| match byte {
        0..=0x7f => char::from(*byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    match std::str::from_utf8(location) {
        Ok(text) => text.to_owned(),
        Err(_) => location.iter().map(encode).collect(),
    }
}

/// With slashes for the backslashes in front of the query.
fn with_slashes(location: &str) -> String {
    let end = location.find(['?', '#']).unwrap_or(location.len());
    let (path, query) = location.split_at(end);
    path.replace('\\', "/") + query
}

fn is_unspecified(host: &str) -> bool {
    address(host).is_some_and(|address| address.is_unspecified())
}

/// Whether a host is the machine itself: a loopback address, or `localhost` (RFC 6761 §6.3).
fn is_loopback(host: &str) -> bool {
    match address(host) {
        Some(address) => address.is_loopback(),
        None => {
            let name = host.strip_suffix('.').unwrap_or(host);
            name == "localhost" || name.ends_with(".localhost")
        }
    }
}

/// Whether a host is an IPv6 address that means nothing without a zone, and has none.
fn is_link_local(host: &str) -> bool {
    let address = host.parse::<Ipv6Addr>();
    address.is_ok_and(|address| address.is_unicast_link_local())
}

/// A host's address, if it is one; IPv4 within IPv6 as IPv4, and without a zone.
fn address(host: &str) -> Option<IpAddr> {
    let host = host.split('%').next()?;
    let address = host
        .parse()
        .ok()
        .or_else(|| old_address(host).map(Into::into));
    address.map(|address: IpAddr| address.to_canonical())
}

/// An IPv4 address as resolvers still take it (inet_aton(3)): one to four numbers, of which the last is all that is left of the 32 bits. Each
/// may be octal, after 0, or hexadecimal, after 0x.
fn old_address(host: &str) -> Option<Ipv4Addr> {
    let number = |text: &str| match text.strip_prefix('0') {
        None => text.parse().ok(),
        Some("") => Some(0),
        Some(rest) => match rest.strip_prefix('x') {
            Some(digits) => u32::from_str_radix(digits, 16).ok(),
            None => u32::from_str_radix(rest, 8).ok(),
        },
    };
    let numbers: Vec<u32> = host.split('.').map(number).collect::<Option<_>>()?;
    let (last, before) = numbers.split_last()?;
    let fits = *last <= u32::MAX >> (8 * before.len().min(3));
    let add = |bits, (place, byte): (usize, &u32)| match (place, byte) {
        (0..3, 0..=0xff) => Some(bits | byte << (24 - 8 * place)),
        _ => None,
    };
    let bits = before.iter().enumerate().try_fold(*last, add)?;
    fits.then_some(Ipv4Addr::from_bits(bits))
}

/// Whether a Location begins with host and port, or with an IPv4 address. A name alone may be a file's: `video.cgi`.
fn begins_with_address(location: &str) -> bool {
    let authority = location.split(['/', '?', '#']).next().unwrap_or_default();
    match read_authority(authority) {
        Ok((_, Some(_))) => true,
        Ok((host, None)) => host.parse::<Ipv4Addr>().is_ok(),
        Err(_) => false,
    }
}

/// What stands before the last `@` of the authority, and the rest after it.
fn split_user(rest: &str) -> (Option<&str>, &str) {
    let authority = &rest[..rest.find('/').unwrap_or(rest.len())];
    let Some(at) = authority.rfind('@') else {
        return (None, rest);
    };
    let user = &rest[..at];
    // `host:80?mail=me@example.org` has an `@` too, but in its query: there, no password precedes the question mark.
    if let Some(mark) = user.find(['?', '#']) {
        let before = &user[..mark];
        let port_or_nothing = before
            .rsplit(':')
            .next()
            .is_some_and(|port| port.bytes().all(|b| b.is_ascii_digit()));
        if !before.contains(':') || port_or_nothing && !before.contains('@') {
            return (None, rest);
        }
    }
    (Some(user), &rest[at + 1..])
}

fn read_user(user: &str) -> Option<UserInfo> {
    let (name, password) = user.split_once(':').unwrap_or((user, ""));
    (!user.is_empty()).then(|| (decode(name), decode(password)))
}

/// Percent-decoded; as it stands, if it was not percent-encoded to begin with.
fn decode(text: &str) -> String {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let mut digit = || bytes.next().and_then(|byte| char::from(byte).to_digit(16));
        let (Some(high), Some(low)) = (digit(), digit()) else {
            return text.to_owned();
        };
        decoded.push((high * 16 + low) as u8);
    }
    String::from_utf8(decoded).unwrap_or_else(|_| text.to_owned())
}

fn read_authority(authority: &str) -> Result<(String, Option<u16>), UrlError> {
    // Of a server that put no port behind an address that had one.
    let authority = authority.strip_suffix(':').unwrap_or(authority);
    if let Some(rest) = authority.strip_prefix('[') {
        let (address, port) = rest.split_once(']').ok_or(UrlError::BadIpv6)?;
        let port = match port {
            "" => None,
            port => read_port(port.strip_prefix(':').ok_or(UrlError::BadPort)?)?,
        };
        return Ok((read_ipv6(address)?, port));
    }
    if authority.parse::<Ipv6Addr>().is_ok() {
        return Err(UrlError::BadIpv6);
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) => (host, read_port(port)?),
        None => (authority, None),
    };
    if host.is_empty() {
        return Err(UrlError::MissingHost);
    }
    if !host
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
    {
        return Err(UrlError::BadHost);
    }
    Ok((host.to_ascii_lowercase(), port))
}

fn read_port(port: &str) -> Result<Option<u16>, UrlError> {
    match port {
        "" => Ok(None),
        port if port.bytes().all(|byte| byte.is_ascii_digit()) => match port.parse() {
            Ok(0) | Err(_) => Err(UrlError::BadPort),
            Ok(port) => Ok(Some(port)),
        },
        _ => Err(UrlError::BadPort),
    }
}

/// Address and zone id, whose `%` may be encoded as `%25` (RFC 6874) or not.
fn read_ipv6(text: &str) -> Result<String, UrlError> {
    let (address, zone) = match text.split_once('%') {
        Some((address, zone)) => (address, Some(zone)),
        None => (text, None),
    };
    let address: Ipv6Addr = address.parse().map_err(|_| UrlError::BadIpv6)?;
    let Some(zone) = zone else {
        return Ok(address.to_string());
    };
    let zone = zone
        .strip_prefix("25")
        .filter(|zone| !zone.is_empty())
        .unwrap_or(zone);
    if zone.is_empty()
        || !zone
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
    {
        return Err(UrlError::BadIpv6);
    }
    Ok(format!("{address}%{zone}"))
}

/// A target with `#` encoded where it stands in a value of the query.
fn with_marks_in_values(target: &str) -> String {
    let Some((before, after)) = target.split_once('#') else {
        return target.to_owned();
    };
    let is_value = before
        .split_once('?')
        .and_then(|(_, query)| query.rsplit('&').next())
        .is_some_and(|field| field.contains('='));
    match is_value {
        true => format!("{before}%23{}", after.replace('#', "%23")),
        false => target.to_owned(),
    }
}

fn read_target(text: &str) -> String {
    let text = text.split('#').next().unwrap_or_default();
    if text.starts_with('/') {
        text.to_owned()
    } else {
        format!("/{text}")
    }
}

/// A path without `.` and `..` (RFC 3986 §5.2.4).
fn remove_dots(path: &str) -> String {
    if !path.split('/').any(|part| part == "." || part == "..") {
        return path.to_owned();
    }
    let mut kept: Vec<&str> = Vec::new();
    for part in path.split('/').skip(1) {
        match part {
            "." => {}
            ".." => drop(kept.pop()),
            part => kept.push(part),
        }
    }
    if path.ends_with("/.") || path.ends_with("/..") {
        kept.push("");
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests;
