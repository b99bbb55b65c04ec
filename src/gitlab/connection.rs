//! The one connection that the program opens: GitLab's API over HTTPS.
//!
//! Owns the token, and the limits in time and size. The token goes into one header of requests to one server, and nowhere
//! else: redirects are not followed, and what a server says is shown without it.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use serde::de::DeserializeOwned;
use serde_json::Value;
use ureq::http::{HeaderValue, Request, Response};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body, Proxy, ProxyProtocol};
use zeroize::Zeroizing;

use super::answer::{self, Answer, unusable};
use super::change::ApiCall;
use super::proxy;
use super::section::Url;
use crate::fault::{Nature, fault};
use crate::sys::waiting;
use crate::text::time;

/// One request may take no longer.
const REQUEST: Duration = Duration::from_secs(30);
/// A longer answer is none of GitLab's: a page of a list has at most some hundred kilobytes.
const MOST_BYTES: u64 = 4 * 1024 * 1024;
/// As often a request is sent where GitLab is busy.
const TRIES: u32 = 3;
/// As many pages a list may have, each of a hundred.
const MOST_PAGES: usize = 100;
/// So much of what a server says is shown.
const MOST_SHOWN: usize = 300;
/// So long a link may be.
const MOST_LINK: usize = 4000;

/// Where a call that writes got no answer.
pub(super) const UNSURE: &str =
    "whether GitLab did it is not known; the same command again finds out, and does nothing twice";

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

    /// The server.
    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    /// What stands at a path below the API.
    pub(super) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.ask(path)?.content()
    }

    /// What stands at a path below the API; `None` where GitLab answers with one of these.
    pub(super) fn find<T: DeserializeOwned>(&self, path: &str, none: &[u16]) -> Result<Option<T>> {
        let answer = self.ask(path)?;
        if none.contains(&answer.status) { Ok(None) } else { answer.content().map(Some) }
    }

    /// Whatever GitLab answers for a path.
    pub(super) fn ask(&self, path: &str) -> Result<Answer<'_>> {
        self.send("GET", path, None)
    }

    /// All entries of a list, page after page; `None` where GitLab answers with one of these.
    pub(super) fn list<T: DeserializeOwned>(&self, path: &str, none: &[u16]) -> Result<Option<Vec<T>>> {
        let (mut all, mut page, mut known) = (Vec::new(), answer::page(1), Vec::new());
        while known.len() < MOST_PAGES {
            let answer = self.ask(&format!("{path}?{page}"))?;
            if none.contains(&answer.status) {
                return Ok(None);
            }
            let found: Vec<T> = answer.content()?;
            known.push(page);
            let next = answer.next(known.len(), found.len());
            all.extend(found);
            page = match next {
                None => return Ok(Some(all)),
                Some(next) if known.contains(&next) => {
                    return Err(unusable(&answer.asked, "it names a next page that is none"));
                }
                Some(next) => next,
            };
        }
        Err(unusable(&format!("GET {path}"), "the list has no end"))
    }

    /// Send a call that writes. What GitLab refuses is for the caller to explain; that it can't be asked is an error.
    pub(super) fn write(&self, call: &ApiCall) -> Result<Answer<'_>> {
        let answer = self.send(call.method, &call.path, call.body.as_ref()).context(UNSURE)?;
        if !matches!(answer.status, 400 | 404 | 409 | 422) {
            answer.check()?;
        }
        Ok(answer)
    }

    /// Send a request, again where GitLab is busy and nothing can be done twice by that.
    fn send(&self, method: &'static str, path: &str, body: Option<&Value>) -> Result<Answer<'_>> {
        for attempt in 1.. {
            let answer = self.send_once(method, path, body)?;
            let is_busy = matches!(answer.status, 429 | 500 | 502 | 503 | 504);
            if !is_busy || method == "POST" || attempt == TRIES {
                return Ok(answer);
            }
            let pause = answer.retry_after.as_deref().map_or(Some(Duration::from_secs(1) * attempt), pause);
            if let Some(pause) = pause.filter(|pause| *pause < self.left()) {
                waiting::rest(pause);
                continue;
            }
            let when = match answer.retry_after.as_deref() {
                Some(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => format!("in {text} s"),
                text => format!("later ({})", text.unwrap_or_default()),
            };
            let Answer { asked, status, said, .. } = answer;
            return Err(Nature::Obstacle.fault(
                "gitlab-answer",
                format!("GitLab wants to be asked again {when}: {asked}: {status} {said}"),
                "run the same command again after that, or with a longer --timeout",
            ));
        }
        unreachable!("the loop ends with an answer")
    }

    fn send_once(&self, method: &'static str, path: &str, body: Option<&Value>) -> Result<Answer<'_>> {
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
        let header =
            |name: &str| response.headers().get(name)?.to_str().ok().map(|text| self.clean(text, MOST_LINK));
        let (next_page, link, retry_after, location) = (
            header("x-next-page"),
            header("link"),
            header("retry-after"),
            header("location").unwrap_or_default(),
        );
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(MOST_BYTES).read_to_vec();
        let body = body.map_err(|error| self.unreachable(&asked, &error))?;
        let is_refusal = !(200..300).contains(&status);
        let said = if is_refusal { self.clean(&answer::said(&body), MOST_SHOWN) } else { String::new() };
        Ok(Answer { url: &self.url, asked, status, body, said, next_page, link, retry_after, location })
    }

    fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// A server's words without the token, on one line, and not too many.
    fn clean(&self, said: &str, most: usize) -> String {
        let said = said.replace(self.token.as_str(), "[the token]");
        let line = said.split_whitespace().collect::<Vec<_>>().join(" ");
        match line.char_indices().nth(most) {
            Some((end, _)) => format!("{}…", &line[..end]),
            None => line,
        }
    }

    /// Why a request got no answer.
    fn unreachable(&self, asked: &str, error: &ureq::Error) -> anyhow::Error {
        let host = self.url.host();
        let text = self.clean(&error.to_string(), MOST_SHOWN);
        if let ureq::Error::BodyExceedsLimit(limit) = error {
            return unusable(asked, &format!("it is longer than {limit} bytes"));
        }
        let by_proxy = || match self.proxy {
            Some(variable) => mend!(
                "see that the proxy lets {0} through: it is the one that {1} names; or do without: export no_proxy={0}",
                host,
                variable
            ),
            None => mend!("see that {} can be reached from here; through a proxy: set https_proxy", host),
        };
        let (why, repair) = match error {
            ureq::Error::Timeout(_) => (
                format!("no whole answer came in time (all requests together: {} s)", self.limit.as_secs()),
                "run the same command again, with a longer --timeout if the server is slow".into(),
            ),
            ureq::Error::HostNotFound if self.proxy.is_none() => (
                format!("there is no address of {host}"),
                "correct `url` in [gitlab]; through a proxy: set https_proxy".into(),
            ),
            _ if text.contains("certificate") || text.contains("UnknownIssuer") => (
                format!("its certificate is not accepted: {text}"),
                "name a file with the authority that signed it, as PEM, by --ca-file".into(),
            ),
            _ => (text, by_proxy()),
        };
        Nature::Obstacle.fault("gitlab-unreachable", format!("cannot ask GitLab: {asked}: {why}"), repair)
    }
}

/// The proxy that a variable names. Its value is not shown where it is none: it may hold a password.
fn usable((variable, address): (&str, String)) -> Result<Proxy> {
    let known = |proxy: &Proxy| matches!(proxy.protocol(), ProxyProtocol::Http | ProxyProtocol::Https);
    Proxy::new(address.trim()).ok().filter(known).ok_or_else(|| {
        fault(
            "gitlab-proxy",
            format!("the variable {variable} does not hold the address of a proxy that can be used here"),
            mend!(
                "set it to one of HTTP: export {0}=http://proxy.example.com:3128; or do without: unset {0}",
                variable
            ),
        )
    })
}

/// How long a server wants to be left alone, by its `Retry-After`: seconds, or a time. `None` where that is neither.
fn pause(text: &str) -> Option<Duration> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
    let until = || u64::try_from(time::http(text)?).ok().map(|until| until.saturating_sub(now));
    text.parse().ok().or_else(until).map(Duration::from_secs)
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
