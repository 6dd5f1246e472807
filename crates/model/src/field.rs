//! One field of the catalogue.

/// Number of a field: its place in the tables of the program, in the order of the protocol list.
///
/// Not stable between versions: never stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldId(pub u16);

/// What the values of a field are, and how text is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text, compared exactly.
    Term,
    /// Text, folded to lower case when written and when searched.
    LowerTerm,
    /// Text, folded to upper case when written and when searched.
    UpperTerm,
    /// Words of a text, folded to lower case. Only derived from another field, never written.
    Words,
    /// A signed 64-bit number.
    Integer,
    /// An IPv4 or IPv6 address.
    Ip,
    /// Milliseconds since the epoch.
    Date,
    /// `true` or `false`.
    Boolean,
}

/// How many values a session has, and how they are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One value, written as a scalar; a later value replaces an earlier one.
    One,
    /// Distinct values, written as an array in the order first seen.
    Set,
    /// All values, written as an array in order.
    List,
    /// Objects, written as an array; its fields have this one's path as their prefix.
    Object,
    /// No values of its own: a search looks into other fields.
    Virtual,
}

/// Fields of one meaning: a search for the bare word (`ip`, `port`, `host` …) looks into all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Category {
    /// Addresses.
    Ip,
    /// Ports.
    Port,
    /// Host names.
    Host,
    /// MAC addresses.
    Mac,
    /// Countries.
    Country,
    /// Autonomous systems.
    Asn,
    /// Regional registries.
    Rir,
    /// User names.
    User,
}

/// A row of the catalogue: from it come documents, index mappings, queries, the API's field list and the docs.
///
/// Built by the `const` functions below, so that a protocol's table reads as a list:
/// `Field::lower("host.http", "http.host").set().counted().host().named("Hostname", "HTTP host header")`.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Name in expressions.
    pub expression: &'static str,
    /// Path in the document.
    pub path: &'static str,
    /// What its values are.
    pub kind: Kind,
    /// How many there are.
    pub shape: Shape,
    /// The number of values is written too: `pathCnt`, or `path-cnt` for ECS fields. Expression `name.cnt`.
    pub counted: bool,
    /// Written with `--all-fields` only.
    pub optional: bool,
    /// Repeated in each segment of a session that was split.
    pub linked: bool,
    /// Words of the text are searchable beside the whole: expression `name.tokens`, path `pathTokens`.
    pub tokens: bool,
    /// Stored, shown, but not searched.
    pub unsearched: bool,
    /// The object (its path) in whose list this field stands.
    pub object: Option<&'static str>,
    /// Bare words that look into this field too.
    pub category: Option<Category>,
    /// For an address: expression of the port beside it.
    pub port: Option<&'static str>,
    /// For a virtual field: expressions of the fields that a search looks into.
    pub any_of: &'static [&'static str],
    /// Other names in expressions.
    pub aliases: &'static [&'static str],
    /// Heading under which it is shown.
    pub group: &'static str,
    /// Name for people.
    pub name: &'static str,
    /// One sentence for people.
    pub help: &'static str,
}

impl Field {
    const fn new(expression: &'static str, path: &'static str, kind: Kind) -> Self {
        Self {
            expression,
            path,
            kind,
            shape: Shape::One,
            counted: false,
            optional: false,
            linked: false,
            tokens: false,
            unsearched: false,
            object: None,
            category: None,
            port: None,
            any_of: &[],
            aliases: &[],
            group: "general",
            name: expression,
            help: "",
        }
    }

    /// Text, compared exactly.
    #[must_use]
    pub const fn term(expression: &'static str, path: &'static str) -> Self {
        Self::new(expression, path, Kind::Term)
    }

    /// Text, folded to lower case.
    #[must_use]
    pub const fn lower(expression: &'static str, path: &'static str) -> Self {
        Self::new(expression, path, Kind::LowerTerm)
    }

    /// Text, folded to upper case.
    #[must_use]
    pub const fn upper(expression: &'static str, path: &'static str) -> Self {
        Self::new(expression, path, Kind::UpperTerm)
    }

    /// A number.
    #[must_use]
    pub const fn integer(expression: &'static str, path: &'static str) -> Self {
        Self::new(expression, path, Kind::Integer)
    }

    /// An address.
    #[must_use]
    pub const fn ip(expression: &'static str, path: &'static str) -> Self {
        Self { category: Some(Category::Ip), ..Self::new(expression, path, Kind::Ip) }
    }

    /// A date in milliseconds since the epoch.
    #[must_use]
    pub const fn date(expression: &'static str, path: &'static str) -> Self {
        Self::new(expression, path, Kind::Date)
    }

    /// `true` or `false`.
    #[must_use]
    pub const fn boolean(expression: &'static str, path: &'static str) -> Self {
        Self::new(expression, path, Kind::Boolean)
    }

    /// An array of objects; it has no expression of its own but `EXISTS!` and the count.
    #[must_use]
    pub const fn objects(path: &'static str) -> Self {
        Self { shape: Shape::Object, ..Self::new(path, path, Kind::Term) }
    }

    /// A name that stands for several fields.
    #[must_use]
    pub const fn any(expression: &'static str, kind: Kind, any_of: &'static [&'static str]) -> Self {
        Self { shape: Shape::Virtual, any_of, ..Self::new(expression, "", kind) }
    }

    /// Distinct values.
    #[must_use]
    pub const fn set(self) -> Self {
        Self { shape: Shape::Set, ..self }
    }

    /// All values in order.
    #[must_use]
    pub const fn list(self) -> Self {
        Self { shape: Shape::List, ..self }
    }

    /// The number of values is written too.
    #[must_use]
    pub const fn counted(self) -> Self {
        Self { counted: true, ..self }
    }

    /// Written with `--all-fields` only.
    #[must_use]
    pub const fn optional(self) -> Self {
        Self { optional: true, ..self }
    }

    /// Repeated in each segment of a split session.
    #[must_use]
    pub const fn linked(self) -> Self {
        Self { linked: true, ..self }
    }

    /// Words are searchable beside the whole.
    #[must_use]
    pub const fn tokens(self) -> Self {
        Self { tokens: true, ..self }
    }

    /// Stored and shown, never searched.
    #[must_use]
    pub const fn unsearched(self) -> Self {
        Self { unsearched: true, ..self }
    }

    /// Stands inside the objects of the list at this path.
    #[must_use]
    pub const fn inside(self, object: &'static str) -> Self {
        Self { object: Some(object), ..self }
    }

    /// A bare word looks into this field too.
    #[must_use]
    pub const fn category(self, category: Category) -> Self {
        Self { category: Some(category), ..self }
    }

    /// A host name: `host` looks into it, and its words are searchable.
    #[must_use]
    pub const fn host(self) -> Self {
        Self { category: Some(Category::Host), ..self }
    }

    /// The port beside this address.
    #[must_use]
    pub const fn with_port(self, expression: &'static str) -> Self {
        Self { port: Some(expression), ..self }
    }

    /// Other names in expressions.
    #[must_use]
    pub const fn aliases(self, aliases: &'static [&'static str]) -> Self {
        Self { aliases, ..self }
    }

    /// Name and sentence for people.
    #[must_use]
    pub const fn named(self, name: &'static str, help: &'static str) -> Self {
        Self { name, help, ..self }
    }

    /// Heading under which it is shown.
    #[must_use]
    pub const fn group(self, group: &'static str) -> Self {
        Self { group, ..self }
    }

    /// The path of the number of values, where it is counted: `httpUri` has `…Cnt`, ECS objects have `…-cnt`.
    #[must_use]
    pub fn count_path(&self) -> Option<String> {
        let ecs = ["source.", "destination.", "network."].iter().any(|prefix| self.path.starts_with(prefix));
        self.counted.then(|| format!("{}{}", self.path, if ecs { "-cnt" } else { "Cnt" }))
    }
}

/// Declares the field table of a module: `FIELDS`, and a constant for each row with its number.
///
/// `fields! { base = expression; NAME = Field::…; … }` where `base` is the number of the table's first row.
#[macro_export]
macro_rules! fields {
    (base = $base:expr; $($(#[$doc:meta])* $name:ident = $field:expr;)+) => {
        /// The fields that this module writes.
        pub const FIELDS: &[$crate::Field] = &[$($field),+];

        #[allow(non_camel_case_types, clippy::upper_case_acronyms, dead_code)]
        #[repr(u16)]
        enum FieldOrder { $($name),+ }

        $(
            $(#[$doc])*
            #[allow(missing_docs)]
            pub const $name: $crate::FieldId = $crate::FieldId($base + FieldOrder::$name as u16);
        )+
    };
}
