//! The scenarios of the query language, over a store.

use std::{future::Future, sync::Arc, sync::LazyLock};

use skycap_model::Catalogue;
use skycap_query::{parse, sample};

use crate::{Created, NewSession, Scope, Search, SessionStore};

/// Runs every scenario on a store of its own, which `make` gives for the sample catalogue.
pub async fn queries<F>(mut make: impl FnMut(&'static Catalogue) -> F)
where
    F: Future<Output = Arc<dyn SessionStore>>,
{
    static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(sample::catalogue);
    let context = sample::context();
    let mut wrong = Vec::new();
    for scenario in sample::scenarios().unwrap() {
        let store = make(&CATALOGUE).await;
        let sessions: Vec<NewSession> = scenario
            .documents
            .iter()
            .map(|document| {
                let mut document = document.clone();
                let id = document.as_object_mut().unwrap().remove("_id").unwrap();
                let json = serde_json::to_vec(&document).unwrap();
                NewSession { index: "sessions3-140226".to_owned(), id: id.as_str().unwrap().to_owned(), json }
            })
            .collect();
        for answer in store.create(sessions).await.unwrap() {
            assert_eq!(answer, Created::Created, "{}", scenario.name);
        }
        store.flush().await.unwrap();
        for query in &scenario.queries {
            // what can't be parsed never reaches a store
            let Ok(expected) = &query.expected else { continue };
            let expression = parse(&query.expression, &CATALOGUE, &context).unwrap();
            let expression = expression.map_files(&mut |pattern| scenario.resolve(pattern));
            let search = Search { expression, sort: Vec::new(), from: 0, after: None, size: 1_000 };
            let page = store.search(&Scope::everything(), &search).await.unwrap();
            let mut found: Vec<String> = page.sessions.into_iter().map(|session| session.id).collect();
            found.sort();
            if found != *expected || page.total != found.len() as u64 {
                wrong.push(format!("{}: {}: {found:?} instead of {expected:?}", scenario.name, query.expression));
            }
        }
    }
    assert!(wrong.is_empty(), "{} queries are answered otherwise:\n{}", wrong.len(), wrong.join("\n"));
}
