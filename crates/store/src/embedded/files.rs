//! Files documents in a redb database: durable when a call returns, changed by compare-and-set.

use std::{cmp::Ordering, path::Path};

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use skycap_model::{FileState, FilesDocument};

use crate::{ErrorKind, FilesPage, FilesQuery, PutFile, StoreError, Versioned};

/// `_id` → version and JSON.
const FILES: TableDefinition<'_, &str, (u64, &[u8])> = TableDefinition::new("files");

/// The files documents of one data folder.
pub(super) struct Files {
    database: Database,
}

fn storage(what: &str, error: impl Into<redb::Error>) -> StoreError {
    StoreError::caused(ErrorKind::Storage, what, error.into())
}

impl Files {
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let failed = |error| storage(&format!("{} can't be opened", path.display()), error);
        let database = Database::create(path).map_err(|error| failed(redb::Error::from(error)))?;
        let files = Self { database };
        let made = || -> Result<(), redb::Error> {
            let transaction = files.database.begin_write()?;
            transaction.open_table(FILES)?;
            transaction.commit()?;
            Ok(())
        };
        made().map_err(failed)?;
        Ok(files)
    }

    pub(super) fn get(&self, id: &str) -> Result<Option<Versioned<FilesDocument>>, StoreError> {
        let read = || -> Result<Option<(u64, Vec<u8>)>, redb::Error> {
            let table = self.database.begin_read()?.open_table(FILES)?;
            Ok(table.get(id)?.map(|row| (row.value().0, row.value().1.to_vec())))
        };
        let row = read().map_err(|error| storage(&format!("files document {id} can't be read"), error))?;
        row.map(|(version, json)| Ok(Versioned { value: parse(id, &json)?, version })).transpose()
    }

    pub(super) fn put(&self, document: &FilesDocument, expected: Option<u64>) -> Result<PutFile, StoreError> {
        let id = document.id();
        let json = serde_json::to_vec(document).map_err(|error| {
            StoreError::caused(ErrorKind::Invalid, format!("files document {id} can't be written"), error)
        })?;
        let write = || -> Result<PutFile, redb::Error> {
            let mut transaction = self.database.begin_write()?;
            // after a kill the database opens at once, whatever its size
            transaction.set_quick_repair(true);
            let answer = {
                let mut table = transaction.open_table(FILES)?;
                let current = table.get(id.as_str())?.map(|row| row.value().0);
                if current != expected {
                    return Ok(PutFile::Conflict);
                }
                let version = current.unwrap_or_default() + 1;
                table.insert(id.as_str(), (version, json.as_slice()))?;
                PutFile::Written(version)
            };
            transaction.commit()?;
            Ok(answer)
        };
        write().map_err(|error| storage(&format!("files document {id} can't be written"), error))
    }

    /// A page of the documents that `visible` lets through.
    pub(super) fn list(
        &self,
        query: &FilesQuery,
        visible: impl Fn(&FilesDocument) -> bool,
    ) -> Result<FilesPage, StoreError> {
        let order = SortBy::parse(&query.sort)?;
        let mut page = FilesPage::default();
        // a row's key only: documents are read again for the page
        let mut rows: Vec<(SortKey, String)> = Vec::new();
        self.each(|id, document| {
            if !visible(&document) {
                return;
            }
            page.total += 1;
            if document.name.contains(&query.filter) {
                rows.push((order.key(&document), id.to_owned()));
            }
        })?;
        page.matching = rows.len() as u64;
        rows.sort_unstable_by(|left, right| {
            let first = if query.descending { right.0.cmp(&left.0) } else { left.0.cmp(&right.0) };
            first.then_with(|| left.1.cmp(&right.1))
        });
        for (_, id) in rows.into_iter().skip(query.from).take(query.size) {
            page.files.extend(self.get(&id)?.map(|found| found.value));
        }
        Ok(page)
    }

    /// Names of the objects that need no further work: indexed or refused.
    pub(super) fn settled(&self) -> Result<std::collections::HashSet<String>, StoreError> {
        let mut names = std::collections::HashSet::new();
        self.each(|_, document| {
            if matches!(document.skycap.state, FileState::Indexed | FileState::Refused) {
                names.insert(document.name);
            }
        })?;
        Ok(names)
    }

    fn each(&self, mut visit: impl FnMut(&str, FilesDocument)) -> Result<(), StoreError> {
        let failed = |error: redb::Error| storage("files documents can't be listed", error);
        let transaction = self.database.begin_read().map_err(|error| failed(error.into()))?;
        let table = transaction.open_table(FILES).map_err(|error| failed(error.into()))?;
        for row in table.iter().map_err(|error| failed(error.into()))? {
            let (id, value) = row.map_err(|error| failed(error.into()))?;
            match parse(id.value(), value.value().1) {
                Ok(document) => visit(id.value(), document),
                Err(error) => tracing::warn!(%error, "a files document is passed over"),
            }
        }
        Ok(())
    }
}

fn parse(id: &str, json: &[u8]) -> Result<FilesDocument, StoreError> {
    serde_json::from_slice(json).map_err(|error| {
        StoreError::caused(ErrorKind::Storage, format!("files document {id} can't be understood"), error)
    })
}

#[derive(Clone, Copy)]
enum SortBy {
    Num,
    Name,
    Node,
    First,
    Size,
    Packets,
}

#[derive(PartialEq, Eq)]
enum SortKey {
    Number(u64),
    Text(String),
}

impl PartialOrd for SortKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for SortKey {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Number(left), Self::Number(right)) => left.cmp(right),
            (Self::Text(left), Self::Text(right)) => left.cmp(right),
            (Self::Number(_), Self::Text(_)) => Ordering::Less,
            (Self::Text(_), Self::Number(_)) => Ordering::Greater,
        }
    }
}

impl SortBy {
    fn parse(name: &str) -> Result<Self, StoreError> {
        Ok(match name {
            "num" => Self::Num,
            "name" => Self::Name,
            "node" => Self::Node,
            "" | "first" | "firstTimestamp" => Self::First,
            "filesize" => Self::Size,
            "packets" => Self::Packets,
            other => {
                let message = format!("files can't be sorted by {other:?}");
                return Err(StoreError::new(ErrorKind::Invalid, message));
            }
        })
    }

    fn key(self, document: &FilesDocument) -> SortKey {
        match self {
            Self::Num => SortKey::Number(document.num),
            Self::Name => SortKey::Text(document.name.clone()),
            Self::Node => SortKey::Text(document.node.clone()),
            Self::First => SortKey::Number(document.first_timestamp.unwrap_or(document.first.saturating_mul(1_000))),
            Self::Size => SortKey::Number(document.filesize),
            Self::Packets => SortKey::Number(document.packets),
        }
    }
}
