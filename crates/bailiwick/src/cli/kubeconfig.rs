//! One context cut out of the local kubeconfig files, with the files that it names put in: what is uploaded must be
//! whole, and must not carry the credentials of other clusters. It is uploaded with its own credential, or with a
//! token that takes its place.
//!
//! Programs that a kubeconfig names are never run, here or on the server.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::failure::Failure;

/// Keys that name a file, the key that holds the same as data, and how.
const FILES: [(&str, &str, Form); 4] = [
    ("certificate-authority", "certificate-authority-data", Form::Base64),
    ("client-certificate", "client-certificate-data", Form::Base64),
    ("client-key", "client-key-data", Form::Base64),
    ("tokenFile", "token", Form::Text),
];

#[derive(Clone, Copy)]
enum Form {
    Base64,
    Text,
}

/// A kubeconfig file that was read.
struct Source {
    path: PathBuf,
    content: Value,
}

/// The text of a kubeconfig that holds `context` alone.
///
/// As with kubectl, the first file that has an entry of a name wins.
///
/// # Errors
/// If no file has it, or what it refers to is missing or cannot be uploaded.
pub fn flattened(files: &[PathBuf], context: &str) -> Result<String, Failure> {
    let (sources, entry) = entry(files, context)?;
    let cluster = part(&sources, &entry, "clusters", "cluster", context)?;
    let user = part(&sources, &entry, "users", "user", context)?;
    for plugin in ["exec", "auth-provider"] {
        if user.contains_key(plugin) {
            return Err(Failure::refused(format!(
                "context `{context}` gets its credentials from a program (`{plugin}`), which the server does not run"
            ))
            .hint("leave out --own-credential: what is made for Bailiwick then has a token of its own"));
        }
    }
    Ok(text(context, cluster, user))
}

/// The cluster of `context`: how it is reached, and whose certificate it shows. No credential is in it.
///
/// # Errors
/// As [`flattened`].
pub fn cluster_of(files: &[PathBuf], context: &str) -> Result<Map<String, Value>, Failure> {
    let (sources, entry) = entry(files, context)?;
    part(&sources, &entry, "clusters", "cluster", context)
}

/// The text of a kubeconfig that reaches `cluster` with `token`.
pub fn with_token(cluster: Map<String, Value>, token: &str) -> String {
    text("connector", cluster, Map::from_iter([("token".to_owned(), Value::from(token))]))
}

/// JSON is YAML that no reader can take for something else.
fn text(context: &str, cluster: Map<String, Value>, user: Map<String, Value>) -> String {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": context,
        "contexts": [{ "name": context, "context": { "cluster": "cluster", "user": "user" } }],
        "clusters": [{ "name": "cluster", "cluster": cluster }],
        "users": [{ "name": "user", "user": user }],
    })
    .to_string()
}

/// What was read, and the entry of `context` in it.
fn entry(files: &[PathBuf], context: &str) -> Result<(Vec<Source>, Map<String, Value>), Failure> {
    let sources =
        files.iter().filter(|file| file.exists()).map(|file| read(file)).collect::<Result<Vec<_>, _>>()?;
    let (entry, _) =
        find(&sources, "contexts", "context", context).ok_or_else(|| no_context(&sources, context))?;
    Ok((sources, entry))
}

fn read(path: &Path) -> Result<Source, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::refused(format!("cannot read `{}`: {error}", path.display())))?;
    // The parser's own message may quote the line, which may be a credential.
    let content = serde_saphyr::from_str(&text)
        .map_err(|_| Failure::refused(format!("`{}` must be a kubeconfig in YAML", path.display())))?;
    Ok(Source { path: path.to_owned(), content })
}

/// The entry `name` of a list such as `clusters`, and the folder that its relative paths start from.
fn find(sources: &[Source], list: &str, key: &str, name: &str) -> Option<(Map<String, Value>, PathBuf)> {
    sources.iter().find_map(|source| {
        let entries = source.content.get(list)?.as_array()?;
        let entry = entries.iter().find(|entry| entry.get("name").and_then(Value::as_str) == Some(name))?;
        let folder = source.path.parent().map(Path::to_path_buf).unwrap_or_default();
        Some((entry.get(key)?.as_object()?.clone(), folder))
    })
}

fn no_context(sources: &[Source], context: &str) -> Failure {
    let lists = sources.iter().filter_map(|source| source.content.get("contexts")?.as_array());
    let names: Vec<&str> =
        lists.flatten().filter_map(|entry| entry.get("name").and_then(Value::as_str)).collect();
    let failure = Failure::refused(format!("there is no context `{context}` in the local kubeconfig"));
    if names.is_empty() {
        return failure.hint("KUBECONFIG or ~/.kube/config must name a file with contexts");
    }
    failure.hint(format!("it has: {}", names.join(", ")))
}

/// The cluster or user that a context refers to, with its files put in.
fn part(
    sources: &[Source],
    entry: &Map<String, Value>,
    list: &str,
    key: &str,
    context: &str,
) -> Result<Map<String, Value>, Failure> {
    let missing = || Failure::refused(format!("context `{context}` must refer to an entry of `{list}`"));
    let name = entry.get(key).and_then(Value::as_str).ok_or_else(missing)?;
    let (mut found, folder) = find(sources, list, key, name).ok_or_else(missing)?;
    // Notes of other tools, which are none of the server's business.
    found.remove("extensions");
    for (file_key, data_key, form) in FILES {
        let Some(Value::String(file)) = found.remove(file_key) else { continue };
        // As kubectl reads it: data beside a file name wins, except for tokens, where the file does.
        let data_wins = matches!(form, Form::Base64) && found.get(data_key).is_some_and(|data| data != "");
        if !file.is_empty() && !data_wins {
            found.insert(data_key.to_owned(), Value::String(embedded(&folder.join(&file), form)?));
        }
    }
    Ok(found)
}

fn embedded(path: &Path, form: Form) -> Result<String, Failure> {
    let unreadable = |reason: String| {
        Failure::refused(format!("cannot read `{}`, which the kubeconfig names: {reason}", path.display()))
    };
    let bytes = std::fs::read(path).map_err(|error| unreadable(error.to_string()))?;
    match form {
        Form::Base64 => Ok(STANDARD.encode(bytes)),
        Form::Text => String::from_utf8(bytes)
            .map(|text| text.trim().to_owned())
            .map_err(|_| unreadable("it is not text".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const CONFIG: &str = r"
apiVersion: v1
kind: Config
current-context: other
contexts:
- name: prod
  context: {cluster: p, user: u, namespace: shop, extensions: [{name: x}]}
- name: other
  context: {cluster: o, user: secret-user}
- name: cloud
  context: {cluster: p, user: plugin}
- name: dangling
  context: {cluster: nowhere, user: u}
clusters:
- name: p
  cluster:
    server: https://10.0.0.1:6443
    certificate-authority: pki/ca.crt
    extensions: [{name: minikube}]
- name: o
  cluster: {server: https://10.0.0.2}
users:
- name: u
  user: {client-certificate-data: QUJD, client-certificate: missing.crt, client-key: key.pem}
- name: secret-user
  user: {token: do-not-upload}
- name: plugin
  user: {exec: {command: /bin/evil}}
";

    fn folder() -> (tempfile::TempDir, Vec<PathBuf>) {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("pki")).unwrap();
        fs::write(folder.path().join("pki/ca.crt"), "CA").unwrap();
        fs::write(folder.path().join("key.pem"), "KEY").unwrap();
        fs::write(folder.path().join("config"), CONFIG).unwrap();
        let files = vec![folder.path().join("absent"), folder.path().join("config")];
        (folder, files)
    }

    #[test]
    fn one_context_is_cut_out_with_its_files_put_in_and_nothing_of_the_others() {
        let (_folder, files) = folder();
        let text = flattened(&files, "prod").unwrap();
        assert!(
            !text.contains("do-not-upload") && !text.contains("10.0.0.2") && !text.contains("extensions")
        );
        let value: Value = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(
            value,
            json!({
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "prod",
                "contexts": [{"name": "prod", "context": {"cluster": "cluster", "user": "user"}}],
                "clusters": [{"name": "cluster", "cluster": {
                    "server": "https://10.0.0.1:6443", "certificate-authority-data": "Q0E="}}],
                "users": [{"name": "user", "user": {"client-certificate-data": "QUJD", "client-key-data": "S0VZ"}}],
            })
        );
    }

    #[test]
    fn the_first_file_that_has_a_name_wins_and_paths_start_from_its_folder() {
        let (folder, mut files) = folder();
        let other = tempfile::tempdir().unwrap();
        let first = other.path().join("first");
        fs::write(&first, "users:\n- name: u\n  user: {tokenFile: t}\n").unwrap();
        fs::write(other.path().join("t"), "tok\n").unwrap();
        files.insert(0, first);
        let value: Value = serde_json::from_str(&flattened(&files, "prod").unwrap()).unwrap();
        assert_eq!(value["users"][0]["user"], json!({"token": "tok"}));
        drop(folder);
    }

    #[test]
    fn a_token_takes_the_place_of_the_contexts_own_credential_even_of_a_plugins() {
        let (_folder, files) = folder();
        let text = with_token(cluster_of(&files, "cloud").unwrap(), "tok");
        let value: Value = serde_json::from_str(&text).unwrap();
        let cluster = json!({"server": "https://10.0.0.1:6443", "certificate-authority-data": "Q0E="});
        assert_eq!(value["clusters"][0]["cluster"], cluster);
        assert_eq!(value["users"], json!([{"name": "user", "user": {"token": "tok"}}]));
        assert!(!text.contains("evil"));
    }

    #[test]
    fn what_cannot_be_uploaded_whole_is_refused_saying_why() {
        let (_folder, files) = folder();
        for (context, said) in
            [("nope", "it has: prod, other"), ("cloud", "`exec`"), ("dangling", "`clusters`")]
        {
            let failure = format!("{:?}", flattened(&files, context).unwrap_err());
            assert!(failure.contains(said), "{failure}");
        }
        assert!(flattened(&[], "prod").is_err());
    }
}
