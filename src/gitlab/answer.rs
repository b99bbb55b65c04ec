//! What GitLab answers to a request, and what each refusal means.

use anyhow::Result;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::section::Url;
use crate::fault::Nature;
use crate::repair::Repair;

/// As many entries of a list are asked for at once.
const ENTRIES: usize = 100;

/// An answer to one request.
pub(super) struct Answer<'c> {
    pub(super) url: &'c Url,
    /// The request, for messages.
    pub(super) asked: String,
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
    /// What it says instead of a content: on one line, and without the token.
    pub(super) said: String,
    /// Headers; the place that it names is without the token, too.
    pub(super) next_page: Option<String>,
    pub(super) link: Option<String>,
    pub(super) retry_after: Option<String>,
    pub(super) location: String,
}

impl Answer<'_> {
    /// Its content.
    pub(super) fn content<T: DeserializeOwned>(&self) -> Result<T> {
        self.check()?;
        serde_json::from_slice(&self.body).map_err(|error| {
            let looks_like_page = self.body.trim_ascii_start().starts_with(b"<");
            let why = if looks_like_page {
                "it is a web page and no JSON".to_owned()
            } else {
                // Not the error's own text, which quotes the answer.
                let what = if error.is_data() { "is not what GitLab sends" } else { "is cut off or no JSON" };
                format!("it {what} (line {}, column {})", error.line(), error.column())
            };
            unusable(&self.asked, &why)
        })
    }

    /// The number of the project that GitLab has now where it had one of the path that was asked for.
    pub(super) fn moved_to(&self) -> Option<u64> {
        let (_, number) = self.location.rsplit_once("/projects/")?;
        number.parse().ok().filter(|_| (300..400).contains(&self.status))
    }

    /// The query for the next page of a list, after that of this number with so many entries; `None` at its end. GitLab
    /// gives its number, or a link to it.
    pub(super) fn next(&self, number: usize, count: usize) -> Option<String> {
        match (self.next_page.as_deref().map(str::trim), self.link.as_deref()) {
            (Some(""), _) => None,
            (Some(next), _) => Some(page(next.parse().unwrap_or(1))),
            (None, Some(link)) => {
                let (before, _) = link.split_once(">; rel=\"next\"")?;
                let address = before.rsplit('<').next()?;
                Some(address.split_once('?').map_or_else(|| page(1), |(_, query)| query.to_owned()))
            }
            // Without a word, a full page is not the last one.
            (None, None) => (count == ENTRIES).then(|| page(number + 1)),
        }
    }

    /// The error that it is, where it does not say yes.
    pub(super) fn check(&self) -> Result<()> {
        let (asked, status) = (&self.asked, self.status);
        let said = self.said.strip_prefix(&format!("{status} ")).unwrap_or(&self.said);
        let url = self.url.as_str();
        let refused = |what: &str, repair: Repair| {
            Err(Nature::Obstacle.fault("gitlab-refused", format!("{what}: {asked}: {status} {said}"), repair))
        };
        let new_token = || {
            mend!(
                "make a new one with the scope api, in GitLab under Edit profile > Access tokens: {}/-/user_settings/personal_access_tokens",
                url
            )
        };
        // GitLab refuses in JSON.
        let is_foreign = !self.body.trim_ascii_start().starts_with(b"{");
        match status {
            200..=299 => Ok(()),
            300..=399 => Err(Nature::Obstacle.fault(
                "gitlab-answer",
                format!("GitLab sends {asked} elsewhere ({status}), to {}, and a token is not sent after that", self.location),
                "correct `url` in [gitlab]: it is the address that a browser shows for GitLab, as far as the first group",
            )),
            401 | 403 if is_foreign => {
                Err(unusable(asked, &format!("it is no JSON, and refuses with {status} {said}")))
            }
            401 => refused("GitLab does not know the token, or it is expired or revoked", new_token()),
            403 if said.contains("insufficient_") => {
                refused("the token has another scope than is needed", new_token())
            }
            403 if said.contains("read-only") => Err(Nature::Obstacle.fault(
                "gitlab-answer",
                format!("GitLab takes no changes now: {asked}: {status} {said}"),
                "run the same command again when its maintenance is over; for a secondary site give the primary's address as `url` in [gitlab]",
            )),
            403 if !said.eq_ignore_ascii_case("Forbidden") => {
                refused("GitLab refuses it", "see what it says, and log in there as the token's user".into())
            }
            403 if asked.contains("/groups/") => refused(
                "the token's user may not do this",
                "take a token of an Owner of the group; roles stand in the group under Manage > Members".into(),
            ),
            403 => refused(
                "the token's user may not do this",
                "take a token of a Maintainer of the project; roles stand in the project under Manage > Members"
                    .into(),
            ),
            404 if is_foreign => refused(
                "no GitLab answers at that address",
                "see that `url` in [gitlab] is the address of GitLab's own first page, and compare the path with that of the project's page".into(),
            ),
            404 => refused(
                "it is not there, or the token's user can't see it",
                "compare the path with the address of the project's page, and see in the project under Manage > Members that the token's user is a member".into(),
            ),
            429 | 500..=599 => Err(Nature::Obstacle.fault(
                "gitlab-answer",
                format!("GitLab is busy or out of order: {asked}: {status} {said}"),
                "run the same command again in a few minutes",
            )),
            _ => refused("GitLab refuses it", "see what it says, and correct the profile".into()),
        }
    }
}

/// The query for a page of a list.
pub(super) fn page(number: usize) -> String {
    format!("per_page={ENTRIES}&page={number}")
}

/// An answer that GitLab does not give.
pub(super) fn unusable(asked: &str, why: &str) -> anyhow::Error {
    Nature::Obstacle.fault(
        "gitlab-answer",
        format!("the answer to {asked} can't be used: {why}"),
        "see that `url` in [gitlab] is GitLab's own address, and that no proxy or login page answers in its place",
    )
}

/// What the body of a refusal says.
pub(super) fn said(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    match serde_json::from_slice::<Value>(body) {
        Ok(value) => words(&value),
        // A web page says nothing that belongs into one line.
        Err(_) if text.trim_start().starts_with('<') => String::new(),
        Err(_) => text.into_owned(),
    }
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
