//! Conformance suites: functions over the traits, run for each implementation.
