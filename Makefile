# The project's verbs. Each installs what it needs on Debian; see .ci/prepare.
.PHONY: try test lint docs bench conformance

try: ## build, make a sample capture, run skycap local on it, serve the API on loopback
	@.ci/try

test: ## install what the tests need and pass them all
	@.ci/test

lint: ## what CI checks beside the tests
	@.ci/lint

docs: ## write the generated pages again
	@.ci/generated --write

bench: ## measure against peers in the same run
	@tests/bench/run
