//! A GitLab on loopback, with the habits of the real one that clients trip over.
//!
//! It holds one downstream and a few upstream projects in memory, pages at 20, and keeps what it was asked. Every write
//! that it answers is in the next answer.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

use super::run_limited;

/// The path of the downstream project.
pub(crate) const PROJECT: &str = "group/k8s-repo";
/// Its number.
pub(crate) const ID: u64 = 7;
/// The path of the upstream project, whose number is 8; the group above it has 21.
pub(crate) const UPSTREAM: &str = "group/code-repo";

/// The server; it ends with the value.
pub(crate) struct GitLab {
    state: Arc<Mutex<State>>,
    address: SocketAddr,
    scheme: &'static str,
}

/// What one deploy key is.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) id: u64,
    pub(crate) line: String,
    pub(crate) can_push: bool,
    pub(crate) expires_at: Option<String>,
    /// Projects that have it.
    pub(crate) projects: Vec<u64>,
    /// What GitLab does not say in older versions.
    pub(crate) sha256: Option<String>,
}

/// Something wrong with one answer.
#[derive(Clone, Debug)]
pub(crate) enum Quirk {
    /// This status and body, as often as the number says.
    Status(u16, &'static str, &'static str, u32),
    /// The connection ends in the middle.
    Cut,
    /// Nothing for so long, then the answer.
    Late(Duration),
    /// A byte now and then, for ever.
    Drip,
    /// This in place of JSON.
    Body(&'static str),
    /// As many bytes.
    Long(usize),
    /// Elsewhere.
    Redirect(String),
}

/// All that it knows.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of GitLab's own")]
pub(crate) struct State {
    pub(crate) version: &'static str,
    pub(crate) token: String,
    pub(crate) scope: &'static str,
    /// Of the token's user in the downstream project.
    pub(crate) role: u64,
    pub(crate) keys: Vec<Key>,
    /// Lines of keys that users have, or projects that nobody sees.
    pub(crate) taken: Vec<String>,
    pub(crate) inbound: bool,
    pub(crate) projects: Vec<u64>,
    pub(crate) groups: Vec<u64>,
    pub(crate) variables: &'static str,
    /// That counts for nothing.
    pub(crate) unrestricted: bool,
    pub(crate) push: bool,
    pub(crate) protected: Value,
    pub(crate) archived: bool,
    /// Runners, as GitLab shows each, with the number of the project or group as `of`.
    pub(crate) runners: Vec<Value>,
    /// What else the project says of itself, or in place of what it says.
    pub(crate) more: Value,
    pub(crate) admin: bool,
    /// The token is one of the project, and its user a bot.
    pub(crate) bot: bool,
    /// Below which path it stands on its server.
    pub(crate) below: &'static str,
    /// A list names its next page by a link alone, and not by a number.
    pub(crate) links: bool,
    /// A role may not be changed, and one of another version: whether a Maintainer may leave `no_one_allowed`.
    pub(crate) strict: bool,
    /// What goes wrong, and from which request on.
    pub(crate) quirk: Option<(usize, Quirk)>,
    /// Each answer comes after up to so many microseconds.
    pub(crate) jitter: u64,
    /// Method, path and query, body.
    pub(crate) log: Vec<(String, String, Value)>,
    /// Headers that held the token under another name, or went elsewhere.
    pub(crate) tokens: Vec<String>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            version: "19.1.0-ee",
            token: format!("glpat-{}", super::CANARY),
            scope: "api",
            role: 40,
            keys: Vec::new(),
            taken: Vec::new(),
            inbound: true,
            projects: Vec::new(),
            groups: Vec::new(),
            variables: "maintainer",
            unrestricted: false,
            push: false,
            protected: json!([]),
            archived: false,
            runners: Vec::new(),
            more: json!({}),
            admin: false,
            bot: false,
            below: "",
            links: false,
            strict: true,
            quirk: None,
            jitter: 0,
            log: Vec::new(),
            tokens: Vec::new(),
        }
    }
}

/// Status, headers and body.
type Answer = (u16, Vec<(String, String)>, String);

impl GitLab {
    /// One on HTTP.
    pub(crate) fn start(state: State) -> Self {
        Self::start_at("127.0.0.1:0", state)
    }

    /// One on HTTP at an address of this machine.
    pub(crate) fn start_at(address: &str, state: State) -> Self {
        Self::serve(address, state, "http", |mut stream, state| talk(&mut stream, state))
    }

    /// One on HTTPS, whose certificate an authority of its own signed: with the path of the authority's file. Nothing
    /// where there is no openssl.
    pub(crate) fn start_tls(state: State, directory: &Path) -> Option<Self> {
        if !super::have(&["openssl"]) {
            return None;
        }
        let script = "set -e; openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=own \
            -addext basicConstraints=critical,CA:TRUE -keyout ca.key -out ca.pem
            openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=gitlab -keyout key.pem -out csr.pem
            printf 'subjectAltName=IP:127.0.0.1\\nbasicConstraints=CA:FALSE\\n' > ext
            openssl x509 -req -in csr.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out cert.pem";
        let made = run_limited(Command::new("sh").args(["-c", script]).current_dir(directory));
        assert_eq!(made.status, 0, "{made}");
        let certificates: Vec<_> = CertificateDer::pem_file_iter(directory.join("cert.pem"))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        let key = PrivateKeyDer::from_pem_file(directory.join("key.pem")).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(certificates, key)
            .unwrap();
        let config = Arc::new(config);
        Some(Self::serve("127.0.0.1:0", state, "https", move |stream, state| {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            talk(&mut StreamOwned::new(connection, stream), state);
        }))
    }

    fn serve(
        address: &str,
        state: State,
        scheme: &'static str,
        talk: impl Fn(TcpStream, &Arc<Mutex<State>>) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(state));
        let (shared, talk) = (Arc::downgrade(&state), Arc::new(talk));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (Some(state), Ok(stream)) = (shared.upgrade(), stream) else { return };
                let talk = Arc::clone(&talk);
                std::thread::spawn(move || talk(stream, &state));
            }
        });
        Self { state, address, scheme }
    }

    /// Its address.
    pub(crate) fn url(&self) -> String {
        format!("{}://{}{}", self.scheme, self.address, self.state().below)
    }

    /// What it knows.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Forget what was asked, and give what it was: `METHOD path` each.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.state().log)
            .into_iter()
            .map(|(method, path, _)| format!("{method} {path}"))
            .collect()
    }

    /// The same without what only reads, each with what was sent.
    pub(crate) fn written(&self) -> Vec<String> {
        let log = std::mem::take(&mut self.state().log);
        let writes = log.into_iter().filter(|(method, ..)| method != "GET");
        writes.map(|(method, path, body)| format!("{method} {path} {body}")).collect()
    }

    /// A profile that wants something of the downstream project.
    pub(crate) fn profile(&self, project: &str) -> String {
        format!(
            "summary = \"x\"\n[gitlab]\nurl = \"{}\"\n[[gitlab.project]]\npath = \"{PROJECT}\"\n{project}\n",
            self.url()
        )
    }
}

/// Answer one request after the other.
fn talk(stream: &mut (impl Read + Write), state: &Arc<Mutex<State>>) {
    let mut reader = BufReader::new(stream);
    while let Some((method, path, token, body)) = request(&mut reader) {
        let (quirk, jitter) = {
            let mut state = state.lock().unwrap();
            let number = state.log.len();
            state.log.push((method.clone(), path.clone(), body.clone()));
            let quirk = state.quirk.clone().filter(|(from, _)| number >= *from).map(|(_, quirk)| quirk);
            (quirk, state.jitter)
        };
        if jitter > 0 {
            let mut random = [0; 8];
            getrandom::fill(&mut random).unwrap();
            std::thread::sleep(Duration::from_micros(u64::from_le_bytes(random) % jitter));
        }
        let answer = || state.lock().unwrap().answer(&method, &path, token.as_deref(), &body);
        let ok = |body: String| (200, Vec::new(), body);
        let (status, headers, body) = match quirk {
            None => answer(),
            Some(Quirk::Status(status, header, body, times)) => {
                let mut state = state.lock().unwrap();
                if times <= 1 {
                    state.quirk = None;
                } else if let Some((_, Quirk::Status(.., times))) = &mut state.quirk {
                    *times -= 1;
                }
                let headers =
                    header.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned()));
                (status, headers.into_iter().collect(), body.to_owned())
            }
            Some(Quirk::Body(body)) => ok(body.to_owned()),
            Some(Quirk::Long(length)) => ok(format!("[\"{}\"]", "x".repeat(length))),
            Some(Quirk::Redirect(to)) => (302, vec![("Location".to_owned(), to)], String::new()),
            Some(Quirk::Late(time)) => {
                std::thread::sleep(time);
                answer()
            }
            Some(Quirk::Cut) => {
                let _ =
                    reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"id\": 7, ");
                let _ = reader.get_mut().flush();
                return;
            }
            Some(Quirk::Drip) => {
                let _ = reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 500000\r\n\r\n[");
                while reader.get_mut().write_all(b" ").and_then(|()| reader.get_mut().flush()).is_ok() {
                    std::thread::sleep(Duration::from_millis(50));
                }
                return;
            }
        };
        let mut text = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n", body.len());
        for (name, value) in headers {
            let _ = write!(text, "{name}: {value}\r\n");
        }
        let whole = [text.as_bytes(), b"\r\n", body.as_bytes()].concat();
        if reader.get_mut().write_all(&whole).and_then(|()| reader.get_mut().flush()).is_err() {
            return;
        }
    }
}

/// Method, path with query, token and body.
fn request(reader: &mut impl BufRead) -> Option<(String, String, Option<String>, Value)> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let (mut token, mut length) = (None, 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "private-token" => token = Some(value.to_owned()),
            "content-length" => length = value.parse().ok()?,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((method, path, token, serde_json::from_slice(&body).unwrap_or_default()))
}

/// What a new runner asks for jobs with.
fn runner_token() -> String {
    format!("glrt-{}", super::CANARY)
}

/// The tags of a runner, which come as one text.
fn tags(body: &Value) -> Vec<String> {
    let text = body["tag_list"].as_str().unwrap_or_default();
    text.split(',').filter(|tag| !tag.is_empty()).map(str::to_owned).collect()
}

fn error(status: u16, message: &Value) -> Answer {
    (status, Vec::new(), json!({ "message": message }).to_string())
}

fn ok(status: u16, value: &Value) -> Answer {
    (status, Vec::new(), value.to_string())
}

/// Twenty on a page, whatever is asked for.
fn page(list: &[Value], query: &str, links: bool) -> Answer {
    let word = |name: &str| query.split('&').find_map(|part| part.strip_prefix(name)?.parse::<usize>().ok());
    let page = word(if links { "cursor=" } else { "page=" }).unwrap_or(1);
    let found: Vec<Value> = list.iter().skip((page - 1) * 20).take(20).cloned().collect();
    let next = (list.len() > page * 20).then_some(page + 1);
    let header = if links {
        let next =
            next.map(|next| format!("<http://internal.invalid/x?per_page=20&cursor={next}>; rel=\"next\", "));
        ("Link", next.unwrap_or_default() + "<http://internal.invalid/x?per_page=20>; rel=\"first\"")
    } else {
        ("X-Next-Page", next.map(|next| next.to_string()).unwrap_or_default())
    };
    (200, vec![(header.0.to_owned(), header.1)], Value::from(found).to_string())
}

/// A project that was moved.
fn moved(id: u64) -> Answer {
    let to = format!("http://gitlab.example.com/api/v4/projects/{id}");
    (
        301,
        vec![("Location".to_owned(), to.clone())],
        format!("This resource has been moved permanently to {to}"),
    )
}

impl State {
    fn answer(&mut self, method: &str, path: &str, token: Option<&str>, body: &Value) -> Answer {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let links = self.links;
        let Some(path) = path.strip_prefix(self.below).and_then(|path| path.strip_prefix("/api/v4/")) else {
            return (404, Vec::new(), "<html>no page</html>".to_owned());
        };
        // gitlab-runner's own question, with the runner's token.
        if (method, path) == ("POST", "runners/verify") {
            let is_known = body["token"] == runner_token();
            return match self.runners.last_mut().filter(|_| is_known) {
                Some(runner) => {
                    runner["status"] = json!("online");
                    ok(200, &json!({ "id": runner["id"], "token": body["token"], "token_expires_at": null }))
                }
                None => error(403, &json!("403 Forbidden")),
            };
        }
        if token != Some(&self.token) {
            return error(401, &json!("401 Unauthorized"));
        }
        let may =
            self.scope == "api" || (method, path, self.scope) == ("POST", "user/runners", "create_runner");
        if method != "GET" && !may {
            let said = json!({ "error": "insufficient_scope", "error_description": "The request requires higher privileges than provided by the access token.", "scope": "api" });
            return ok(403, &said);
        }
        let parts: Vec<&str> = path.split('/').collect();
        match (method, parts.as_slice()) {
            ("GET", ["version"]) => ok(200, &json!({ "version": self.version })),
            ("GET", ["personal_access_tokens", "self"]) => {
                ok(200, &json!({ "id": 4, "scopes": [self.scope] }))
            }
            ("GET", ["user"]) => ok(200, &json!({ "id": 3, "bot": self.bot, "is_admin": self.admin })),
            ("GET", ["users", "3", "project_deploy_keys"]) => {
                let seen = self.keys.iter().filter(|key| !key.projects.contains(&99));
                let mut list: Vec<Value> = seen.map(shown).collect();
                // It says nothing of what a key may do in a project.
                for key in &mut list {
                    key.as_object_mut().unwrap().remove("can_push");
                }
                page(&list, query, links)
            }
            ("POST", ["user", "runners"]) => self.make_runner(body),
            (_, ["runners", id]) => self.runner(method, id, body),
            ("GET", ["groups", group, "runners"]) => {
                if self.role < 50 {
                    return error(403, &json!("403 Forbidden"));
                }
                page(&self.listed_runners(group.parse().unwrap_or(0)), query, links)
            }
            // Digits alone are the number of a group.
            ("GET", ["groups", name]) => match *name {
                "group" => ok(200, &json!({ "id": 21, "full_path": "group" })),
                "tools" => ok(200, &json!({ "id": 22, "full_path": "tools" })),
                "group%2Fsub" | "group%2Folder" => ok(200, &json!({ "id": 22, "full_path": "group/sub" })),
                "42" => ok(200, &json!({ "id": 42, "full_path": "somebody" })),
                _ => error(404, &json!("404 Group Not Found")),
            },
            (_, ["projects", id, rest @ ..]) => match *id {
                "7" | "group%2Fk8s-repo" => {
                    let is_scope_write = method != "GET" && rest.first() == Some(&"job_token_scope");
                    if is_scope_write && *id != "7" {
                        return ok(400, &json!({ "error": "id is invalid" }));
                    }
                    if self.archived && method != "GET" {
                        return error(403, &json!("403 Forbidden"));
                    }
                    self.project(method, rest, query, body)
                }
                "8" | "group%2Fcode-repo" if rest.is_empty() => {
                    ok(200, &json!({ "id": 8, "path_with_namespace": UPSTREAM }))
                }
                "9" | "group%2Fsub%2Fcode" if rest.is_empty() => {
                    ok(200, &json!({ "id": 9, "path_with_namespace": "group/sub/code" }))
                }
                "10" | "group%2F42" if rest.is_empty() => {
                    ok(200, &json!({ "id": 10, "path_with_namespace": "group/42" }))
                }
                "group%2Fold-repo" if rest.is_empty() => moved(ID),
                "group%2Fold-code" if rest.is_empty() => moved(8),
                // A version before the redirects.
                "group%2Foldest" => ok(200, &json!({ "id": 8, "path_with_namespace": UPSTREAM })),
                _ => error(404, &json!("404 Project Not Found")),
            },
            _ => error(404, &json!("404 Not Found")),
        }
    }

    fn project(&mut self, method: &str, rest: &[&str], query: &str, body: &Value) -> Answer {
        let (is_maintainer, links) = (self.role >= 40, self.links);
        match (method, rest) {
            ("GET", []) => ok(200, &self.shown()),
            _ if !is_maintainer => error(403, &json!("403 Forbidden")),
            ("PUT", []) => self.settings(body),
            ("GET", ["deploy_keys"]) => {
                let own = self.keys.iter().filter(|key| key.projects.contains(&ID));
                page(&own.map(shown).collect::<Vec<_>>(), query, links)
            }
            ("POST", ["deploy_keys"]) => self.add_key(body),
            ("PUT", ["deploy_keys", id]) => match self.keys.iter_mut().find(|key| key.id.to_string() == **id)
            {
                Some(key) => {
                    key.can_push = body["can_push"].as_bool().unwrap_or(key.can_push);
                    ok(200, &shown(key))
                }
                None => error(404, &json!("404 Deploy Key Not Found")),
            },
            ("POST", ["deploy_keys", id, "enable"]) => {
                let found = self
                    .keys
                    .iter_mut()
                    .find(|key| key.id.to_string() == **id && !key.projects.contains(&99));
                match found {
                    Some(key) => {
                        if !key.projects.contains(&ID) {
                            key.projects.push(ID);
                            key.can_push = false;
                        }
                        ok(201, &shown(key))
                    }
                    None => error(404, &json!("404 Deploy Key Not Found")),
                }
            }
            ("DELETE", ["deploy_keys", id]) => {
                for key in self.keys.iter_mut().filter(|key| key.id.to_string() == **id) {
                    key.projects.retain(|project| *project != ID);
                }
                self.keys.retain(|key| !key.projects.is_empty());
                (204, Vec::new(), String::new())
            }
            ("DELETE", ["job_token_scope", list, id]) => {
                let entries = if *list == "allowlist" { &mut self.projects } else { &mut self.groups };
                entries.retain(|entry| entry.to_string() != **id);
                (204, Vec::new(), String::new())
            }
            ("GET", ["protected_branches"]) => match self.protected.as_array() {
                Some(rules) => page(rules, query, links),
                None => error(403, &json!("403 Forbidden")),
            },
            ("GET", ["runners"]) => page(&self.listed_runners(ID), query, links),
            ("GET", ["job_token_scope"]) => {
                ok(200, &json!({ "inbound_enabled": self.inbound, "outbound_enabled": false }))
            }
            ("PATCH", ["job_token_scope"]) => match body["enabled"].as_bool() {
                Some(enabled) => {
                    self.inbound = enabled;
                    (204, Vec::new(), String::new())
                }
                None => ok(400, &json!({ "error": "enabled is missing" })),
            },
            ("GET", ["job_token_scope", "allowlist"]) => {
                let project = |id: &u64| json!({ "id": id, "path_with_namespace": match id { 7 => PROJECT.to_owned(), 8 => UPSTREAM.to_owned(), id => format!("else/p{id}") } });
                let own = [ID];
                page(&own.iter().chain(&self.projects).map(project).collect::<Vec<_>>(), query, links)
            }
            ("GET", ["job_token_scope", "groups_allowlist"]) => {
                let group = |id: &u64| json!({ "id": id, "name": "x", "web_url": match id { 21 => "https://gitlab.example.com/groups/group".to_owned(), 22 => "https://gitlab.example.com/groups/tools".to_owned(), id => format!("https://gitlab.example.com/groups/g{id}") } });
                page(&self.groups.iter().map(group).collect::<Vec<_>>(), query, links)
            }
            ("POST", ["job_token_scope", list]) => {
                let key = if *list == "allowlist" { "target_project_id" } else { "target_group_id" };
                let entries = if *list == "allowlist" { &mut self.projects } else { &mut self.groups };
                let Some(id) = body[key].as_u64() else {
                    return ok(400, &json!({ "error": format!("{key} is invalid") }));
                };
                if entries.contains(&id) {
                    return error(400, &json!("This project is already in the job token allowlist."));
                }
                if entries.len() >= 200 {
                    return error(
                        400,
                        &json!(
                            "Source project exceeds the allowable number of project links in this direction"
                        ),
                    );
                }
                entries.push(id);
                ok(201, &json!({ "source_project_id": ID, key: id }))
            }
            _ => error(404, &json!("404 Not Found")),
        }
    }

    /// The runners that jobs of a project or group go to, without what only a look at one of them tells.
    fn listed_runners(&self, of: u64) -> Vec<Value> {
        let is_seen = |runner: &&Value| runner["of"] == of || runner["runner_type"] == "instance_type";
        let mut list: Vec<Value> = self.runners.iter().filter(is_seen).cloned().collect();
        for runner in &mut list {
            for hidden in ["of", "tag_list", "run_untagged", "access_level"] {
                runner.as_object_mut().unwrap().remove(hidden);
            }
        }
        list
    }

    fn make_runner(&mut self, body: &Value) -> Answer {
        let of = match body["runner_type"].as_str() {
            Some("project_type") if self.role >= 40 => &body["project_id"],
            Some("group_type") if self.role >= 50 => &body["group_id"],
            Some("project_type" | "group_type") => {
                return error(403, &json!("403 Forbidden - Insufficient permissions"));
            }
            _ => return ok(400, &json!({ "error": "runner_type is missing" })),
        };
        // glab sends texts.
        let of = of.as_u64().or_else(|| of.as_str()?.parse().ok());
        let Some(of) = of else { return ok(400, &json!({ "error": "project_id is invalid" })) };
        let untagged = body["run_untagged"].as_bool().unwrap_or(true);
        let tags = tags(body);
        if tags.is_empty() && !untagged {
            return error(
                400,
                &json!(
                    "400 Bad request - Tags list can not be empty when runner is not allowed to pick untagged jobs"
                ),
            );
        }
        let id = 31 + self.runners.len() as u64;
        self.runners.push(json!({
            "id": id, "of": of, "description": body["description"], "runner_type": body["runner_type"], "paused": false,
            "tag_list": tags, "run_untagged": untagged, "access_level": "not_protected", "status": "never_contacted",
        }));
        ok(201, &json!({ "id": id, "token": runner_token(), "token_expires_at": null }))
    }

    fn runner(&mut self, method: &str, id: &str, body: &Value) -> Answer {
        let Some(at) =
            self.runners.iter().position(|runner| id.parse::<u64>().is_ok_and(|id| runner["id"] == id))
        else {
            return error(404, &json!("404 Runner Not Found"));
        };
        if self.role < 40 {
            return error(403, &json!("403 Forbidden - No access granted"));
        }
        if method == "DELETE" {
            self.runners.remove(at);
            return (204, Vec::new(), String::new());
        }
        let runner = &mut self.runners[at];
        for (key, value) in body.as_object().into_iter().flatten() {
            runner[key] = if key == "tag_list" { tags(body).into() } else { value.clone() };
        }
        ok(200, runner)
    }

    /// What the project says of itself.
    fn shown(&self) -> Value {
        let mut project = json!({
            "id": ID, "path_with_namespace": PROJECT, "default_branch": "main", "archived": self.archived,
            "permissions": { "project_access": { "access_level": self.role }, "group_access": null },
        });
        if self.role >= 40 {
            project["ci_pipeline_variables_minimum_override_role"] = json!(self.variables);
            project["restrict_user_defined_variables"] = json!(!self.unrestricted);
            project["ci_push_repository_for_job_token_allowed"] = json!(self.push);
        }
        for (key, value) in self.more.as_object().into_iter().flatten() {
            project[key] = value.clone();
        }
        project
    }

    fn settings(&mut self, body: &Value) -> Answer {
        if let Some(role) = body["ci_pipeline_variables_minimum_override_role"].as_str() {
            let is_closed = ["owner", "no_one_allowed"].contains(&self.variables);
            if self.strict && is_closed && self.role < 50 || role == "owner" && self.role < 50 {
                return error(
                    400,
                    &json!({ "base": ["Changing the restrict_user_defined_variables or ci_pipeline_variables_minimum_override_role is not allowed"] }),
                );
            }
            let known = ["developer", "maintainer", "owner", "no_one_allowed"];
            match known.into_iter().find(|known| *known == role) {
                Some(known) => self.variables = known,
                None => return ok(400, &json!({ "error": "does not have a valid value" })),
            }
        }
        if let Some(push) = body["ci_push_repository_for_job_token_allowed"].as_bool() {
            self.push = push;
        }
        ok(200, &json!({ "id": ID }))
    }

    fn add_key(&mut self, body: &Value) -> Answer {
        let (Some(line), Some(_)) = (body["key"].as_str(), body["title"].as_str()) else {
            return ok(400, &json!({ "error": "key is missing" }));
        };
        let blob = |line: &str| line.split_whitespace().nth(1).unwrap_or_default().to_owned();
        if let Some(known) =
            self.keys.iter().find(|key| key.projects.contains(&ID) && blob(&key.line) == blob(line))
        {
            // The trap: it stays as it is.
            return ok(201, &shown(known));
        }
        let push = body["can_push"] == json!(true);
        let is_seen = |key: &&mut Key| !key.projects.contains(&99);
        if let Some(known) = self.keys.iter_mut().filter(is_seen).find(|key| key.line == line) {
            known.projects.push(ID);
            known.can_push = push;
            return ok(201, &shown(known));
        }
        let all = self.taken.iter().chain(self.keys.iter().map(|key| &key.line));
        if all.into_iter().any(|taken| blob(taken) == blob(line)) {
            return error(400, &json!({ "deploy_key.fingerprint_sha256": ["has already been taken"] }));
        }
        let id = 100 + self.keys.len() as u64;
        let key = Key {
            id,
            line: line.to_owned(),
            can_push: push,
            expires_at: None,
            projects: vec![ID],
            sha256: None,
        };
        let answer = ok(201, &shown(&key));
        self.keys.push(key);
        answer
    }
}

fn shown(key: &Key) -> Value {
    json!({
        "id": key.id, "title": "x", "key": key.line, "can_push": key.can_push,
        "expires_at": key.expires_at, "created_at": "2026-01-01T00:00:00.000Z",
        "fingerprint_sha256": key.sha256,
    })
}
