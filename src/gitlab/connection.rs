//! The one connection that the program opens: GitLab's API over HTTPS.
//!
//! Owns the token, the limits in time and size, and what each refusal means. The token goes into one header of requests
//! to one server, and nowhere else: redirects are not followed, and what a server says is shown without it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::de::DeserializeOwned;
use serde_json::Value;
use ureq::http::{HeaderValue, Request, Response};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body, Proxy, ProxyProtocol};
use zeroize::Zeroizing;

use super::change::Call;
use super::proxy;
use super::section::Url;
use crate::fault::fault;
use crate::sys::waiting;

/// One request may take no longer.
const REQUEST: Duration = Duration::from_secs(30);
/// A longer answer is none of GitLab's: a page of a list has at most some hundred kilobytes.
const MOST_BYTES: u64 = 4 * 1024 * 1024;
/// As often a request is sent where GitLab is busy.
const TRIES: u32 = 3;
/// As many pages a list may have, each of a hundred.
const MOST_PAGES: u32 = 100;
/// So much of what a server says is shown.
const MOST_SHOWN: usize = 300;

/// GitLab, and the right to ask it.
pub struct Connection {
    agent: Agent,
    url: Url,
    token: Zeroizing<String>,
    limit: Duration,
    deadline: Instant,
    /// The variable that names the proxy, where one is used.
    proxy: Option<&'static str>,
}

/// What GitLab answered to one request.
pub(super) struct Answer {
    /// The request, for messages.
    asked: String,
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
    next_page: Option<String>,
    location: Option<String>,
}

impl Connection {
    /// Prepare to talk to the server at `url`, trusting the authorities in `ca` (PEM) instead of the platform's. All
    /// requests together may take as long as `limit`. Nothing is sent yet.
    ///
    /// # Errors
    /// When the token can't be one, or there is no authority to trust.
    #[expect(clippy::disallowed_methods, reason = "the one place that opens a connection")]
    pub fn new(url: &Url, token: Zeroizing<String>, ca: Option<&[u8]>, limit: Duration) -> Result<Self> {
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(fault(
                "gitlab-token",
                "what was given as the token is not a token: it is empty, or has blanks or other signs in it",
                "put the token alone into the file, on one line",
            ));
        }
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .https_only(!url.is_local())
            .user_agent(concat!("runner-prep/", env!("CARGO_PKG_VERSION")));
        let mut proxy = None;
        config = if url.is_local() {
            config.proxy(None)
        } else {
            let named = proxy::find(url.host(), &|name| std::env::var(name).ok());
            proxy = named.as_ref().map(|(variable, _)| *variable);
            let tls = TlsConfig::builder()
                .root_certs(RootCerts::new_with_certs(&authorities(ca)?))
                .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()));
            config.proxy(named.map(usable).transpose()?).tls_config(tls.build())
        };
        let deadline = Instant::now() + limit;
        Ok(Self { agent: config.build().into(), url: url.clone(), token, limit, deadline, proxy })
    }

    /// The server's name.
    pub(super) fn host(&self) -> &str {
        self.url.host()
    }

    /// What stands at a path below the API.
    pub(super) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.found(self.send("GET", path, None)?)
    }

    /// The same; `None` where GitLab answers with one of these.
    pub(super) fn find<T: DeserializeOwned>(&self, path: &str, none: &[u16]) -> Result<Option<T>> {
        let answer = self.send("GET", path, None)?;
        if none.contains(&answer.status) { Ok(None) } else { self.found(answer).map(Some) }
    }

    /// All entries of a list, page after page; `None` where GitLab answers with one of these.
    pub(super) fn list<T: DeserializeOwned>(&self, path: &str, none: &[u16]) -> Result<Option<Vec<T>>> {
        let (mut all, mut page) = (Vec::new(), 1);
        while page <= MOST_PAGES {
            let answer = self.send("GET", &format!("{path}?per_page=100&page={page}"), None)?;
            if none.contains(&answer.status) {
                return Ok(None);
            }
            let next = answer.next_page.clone();
            let asked = answer.asked.clone();
            let found: Vec<T> = self.found(answer)?;
            // Without the header, a full page is not the last one.
            let is_full = next.is_none() && found.len() == 100;
            all.extend(found);
            page = match next.as_deref().map(str::trim) {
                Some("") => return Ok(Some(all)),
                None if !is_full => return Ok(Some(all)),
                None => page + 1,
                Some(next) => match next.parse() {
                    Ok(next) if next > page => next,
                    _ => return Err(no_gitlab(&asked, "it names a next page that is none")),
                },
            };
        }
        Err(no_gitlab(&format!("GET {path}"), "the list has no end"))
    }

    /// Send a call that writes. What GitLab refuses is for the caller to explain; that it can't be asked is an error.
    pub(super) fn write(&self, call: &Call) -> Result<Answer> {
        let answer = self.send(call.method, &call.path, call.body.as_ref()).context(
            "whether GitLab did it is not known; the same command again finds out, and does nothing twice",
        )?;
        if matches!(answer.status, 400 | 404 | 409 | 422) { Ok(answer) } else { self.accepted(answer) }
    }

    /// The same for a call that nothing can refuse but for rights.
    pub(super) fn write_surely(&self, call: &Call) -> Result<()> {
        self.write(call).and_then(|answer| self.accepted(answer)).map(drop)
    }

    /// The content of an answer.
    pub(super) fn found<T: DeserializeOwned>(&self, answer: Answer) -> Result<T> {
        let answer = self.accepted(answer)?;
        serde_json::from_slice(&answer.body).map_err(|error| {
            let looks_like_page = answer.body.trim_ascii_start().starts_with(b"<");
            let why = if looks_like_page {
                "it is a web page and no JSON".to_owned()
            } else {
                // Not the error's own text, which quotes the answer.
                let what = if error.is_data() { "is not what GitLab sends" } else { "is cut off or no JSON" };
                format!("it {what} (line {}, column {})", error.line(), error.column())
            };
            no_gitlab(&answer.asked, &why)
        })
    }

    /// An answer that says yes, or the error that it is.
    fn accepted(&self, answer: Answer) -> Result<Answer> {
        let (asked, status) = (&answer.asked, answer.status);
        let said = self.said(&answer);
        let said = said.strip_prefix(&format!("{status} ")).unwrap_or(&said);
        let url = self.url.as_str();
        let refused = |what: &str, repair: String| {
            Err(fault("gitlab-refused", format!("{what}: {asked}: {status} {said}"), repair))
        };
        match status {
            200..=299 => Ok(answer),
            300..=399 => {
                let to = answer.location.as_deref().map(|to| self.clean(to)).unwrap_or_default();
                Err(fault(
                    "gitlab-answer",
                    format!("GitLab sends {asked} elsewhere ({status}), to {to}, and a token is not sent after that"),
                    "correct `url` in [gitlab], or the path of the project if it was moved",
                ))
            }
            401 => refused(
                "GitLab does not know the token, or it is expired or revoked",
                format!("make a new one with the scope api: {url}/-/user_settings/personal_access_tokens"),
            ),
            403 if said.contains("insufficient_scope") => refused(
                "the token has another scope than is needed",
                format!("make one with the scope api: {url}/-/user_settings/personal_access_tokens"),
            ),
            403 => refused(
                "the token's user may not do this",
                "take a token of a Maintainer of the project; roles stand in the project under Manage > Members"
                    .to_owned(),
            ),
            404 => refused(
                "it is not there, or the token's user can't see it",
                "compare the path with the address of the project's page, and see in the project under Manage > Members that the token's user is a member".to_owned(),
            ),
            429 | 500..=599 => Err(fault(
                "gitlab-answer",
                format!("GitLab is busy or out of order: {asked}: {status} {said}"),
                "run the same command again in a few minutes",
            )),
            _ => refused("GitLab refuses it", "see what it says, and correct the profile".to_owned()),
        }
    }

    /// Send a request, again where GitLab is busy and nothing can be done twice by that.
    fn send(&self, method: &'static str, path: &str, body: Option<&Value>) -> Result<Answer> {
        for attempt in 1.. {
            let (answer, wait) = self.send_once(method, path, body)?;
            let is_busy = matches!(answer.status, 429 | 500 | 502 | 503 | 504);
            if !is_busy || method == "POST" || attempt == TRIES {
                return Ok(answer);
            }
            let pause = wait.unwrap_or(Duration::from_secs(1) * attempt);
            if pause >= self.left() {
                let said = self.said(&answer);
                return Err(fault(
                    "gitlab-answer",
                    format!(
                        "GitLab wants to be asked again in {} s: {}: {} {said}",
                        pause.as_secs(),
                        answer.asked,
                        answer.status
                    ),
                    "run the same command again after that, or with a longer --timeout",
                ));
            }
            waiting::rest(pause);
        }
        unreachable!("the loop ends with an answer")
    }

    fn send_once(
        &self,
        method: &'static str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(Answer, Option<Duration>)> {
        let asked = format!("{method} {}/api/v4/{path}", self.url.as_str());
        let left = self.left();
        if left.is_zero() {
            return Err(self.unreachable(&asked, &ureq::Error::Timeout(ureq::Timeout::Global)));
        }
        let mut token = HeaderValue::from_str(&self.token).context("the token can't be sent")?;
        token.set_sensitive(true);
        let request = Request::builder()
            .method(method)
            .uri(format!("{}/api/v4/{path}", self.url.as_str()))
            .header("PRIVATE-TOKEN", token)
            .header("Accept", "application/json");
        let limit = Some(left.min(REQUEST));
        let run = || -> Result<Response<Body>, ureq::Error> {
            if method == "GET" {
                let request = request.body(())?;
                return self.agent.run(self.agent.configure_request(request).timeout_global(limit).build());
            }
            let body = body.map(ToString::to_string).unwrap_or_default();
            let request = request.header("Content-Type", "application/json").body(body)?;
            self.agent.run(self.agent.configure_request(request).timeout_global(limit).build())
        };
        let mut response = run().map_err(|error| self.unreachable(&asked, &error))?;
        let header = |name: &str| {
            response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
        };
        let (next_page, location) = (header("x-next-page"), header("location"));
        let wait = header("retry-after").and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(MOST_BYTES).read_to_vec();
        let body = body.map_err(|error| self.unreachable(&asked, &error))?;
        Ok((Answer { asked, status, body, next_page, location }, wait))
    }

    fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// What GitLab says in an answer that is not a content, in one line.
    pub(super) fn said(&self, answer: &Answer) -> String {
        let text = String::from_utf8_lossy(&answer.body);
        let said = match serde_json::from_slice::<Value>(&answer.body) {
            Ok(value) => words(&value),
            // A web page says nothing that belongs into one line.
            Err(_) if text.trim_start().starts_with('<') => String::new(),
            Err(_) => text.into_owned(),
        };
        self.clean(&said)
    }

    /// A server's words without the token, on one line, and not too many.
    fn clean(&self, said: &str) -> String {
        let said = said.replace(self.token.as_str(), "[the token]");
        let line = said.split_whitespace().collect::<Vec<_>>().join(" ");
        match line.char_indices().nth(MOST_SHOWN) {
            Some((end, _)) => format!("{}…", &line[..end]),
            None => line,
        }
    }

    /// Why a request got no answer.
    fn unreachable(&self, asked: &str, error: &ureq::Error) -> anyhow::Error {
        let host = self.url.host();
        let text = self.clean(&error.to_string());
        if let ureq::Error::BodyExceedsLimit(limit) = error {
            return no_gitlab(asked, &format!("it is longer than {limit} bytes"));
        }
        let by_proxy = || match self.proxy {
            Some(variable) => format!(
                "see that the proxy lets {host} through: it is the one that {variable} names; or do without: export no_proxy={host}"
            ),
            None => format!("see that {host} can be reached from here; through a proxy: set https_proxy"),
        };
        let (why, repair) = match error {
            ureq::Error::Timeout(_) => (
                format!("no whole answer came in time (all requests together: {} s)", self.limit.as_secs()),
                "run the same command again, with a longer --timeout if the server is slow".to_owned(),
            ),
            ureq::Error::HostNotFound if self.proxy.is_none() => (
                format!("there is no address of {host}"),
                "correct `url` in [gitlab]; through a proxy: set https_proxy".to_owned(),
            ),
            _ if text.contains("certificate") || text.contains("UnknownIssuer") => (
                format!("its certificate is not accepted: {text}"),
                "name a file with the authority that signed it, as PEM, by --ca-file".to_owned(),
            ),
            _ => (text, by_proxy()),
        };
        fault("gitlab-unreachable", format!("cannot ask GitLab: {asked}: {why}"), repair)
    }
}

/// The proxy that a variable names. Its value is not shown where it is none: it may hold a password.
fn usable((variable, address): (&str, String)) -> Result<Proxy> {
    let known = |proxy: &Proxy| matches!(proxy.protocol(), ProxyProtocol::Http | ProxyProtocol::Https);
    Proxy::new(address.trim()).ok().filter(known).ok_or_else(|| {
        fault(
            "gitlab-proxy",
            format!("the variable {variable} does not hold the address of a proxy that can be used here"),
            format!(
                "set it to one of HTTP: export {variable}=http://proxy.example.com:3128; or do without: unset {variable}"
            ),
        )
    })
}

/// An answer that GitLab does not give.
fn no_gitlab(asked: &str, why: &str) -> anyhow::Error {
    fault(
        "gitlab-answer",
        format!("the answer to {asked} can't be used: {why}"),
        "see that `url` in [gitlab] is GitLab's own address, and that no proxy or login page answers in its place",
    )
}

/// The texts of a message, which may be a text, a list, or a table of lists.
fn words(value: &Value) -> String {
    let joined = |parts: Vec<String>| parts.join(", ");
    match value {
        Value::Object(object) => {
            let of = |(key, value): (&String, &Value)| match key.as_str() {
                "message" | "error" | "error_description" | "base" => words(value),
                key => format!("{key} {}", words(value)),
            };
            joined(object.iter().map(of).collect())
        }
        Value::Array(list) => joined(list.iter().map(words).collect()),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The certificates of the authorities that may vouch for the server.
fn authorities(own: Option<&[u8]>) -> Result<Vec<Certificate<'static>>> {
    let certificate = |item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    };
    let found: Vec<Certificate<'static>> = if let Some(pem) = own {
        parse_pem(pem).filter_map(certificate).collect()
    } else {
        let found = rustls_native_certs::load_native_certs().certs;
        found.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect()
    };
    if found.is_empty() {
        let of = if own.is_some() { "in the file of --ca-file" } else { "on this machine" };
        return Err(fault(
            "gitlab-unreachable",
            format!("there is no certificate of an authority {of}: no server can be trusted"),
            "install the package ca-certificates, or name a file with certificates as PEM by --ca-file",
        ));
    }
    Ok(found)
}
