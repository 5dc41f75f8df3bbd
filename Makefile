# On a fresh machine: Python 3.11 or newer and make. Everything else lands in .venv.
PYTHON ?= $(shell for name in python3.11 python3 python3.12 python3.13; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$name && break; done)
BIN := .venv/bin
STAMP := .venv/.installed
WORKERS ?= 2

.DEFAULT_GOAL := test
.PHONY: install demo test check bench serve browser pins locks wheel sbom clean

install: $(STAMP)

# The stamp makes a second run quick; a changed pin or dependency installs again.
$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "emr-sync needs Python 3.11 or newer: install it, or say make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt setuptools
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-build-isolation -e '.[test]'
	@touch $(STAMP)

demo: $(STAMP)
	@$(BIN)/emr-sync demo $(ARGS)

test: $(STAMP)
	$(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal $(ARGS)

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	@if [ -f tests/spec/render.py ]; then $(BIN)/python -m tests.spec.render --check; fi
	@if [ -f tests/plain_words.py ]; then $(BIN)/python -m tests.plain_words cli pages readme docs; fi

bench: $(STAMP)
	$(BIN)/python -m bench $(ARGS)

serve: $(STAMP)
	$(BIN)/emr-sync serve $(ARGS)

# What the tests of the pages drive. They skip, and say so, where there is none.
browser:
	@command -v chromium-headless-shell >/dev/null || { sudo=; [ "$$(id -u)" -eq 0 ] || sudo=sudo; \
		$$sudo apt-get update -qq && $$sudo apt-get install -y -qq --no-install-recommends chromium-headless-shell; }

# Upgrades within the ranges of pyproject.toml and writes down what was installed.
pins: $(STAMP)
	$(BIN)/python -m pip install --quiet --upgrade --upgrade-strategy eager --no-build-isolation -e '.[test]'
	@echo "# Exact versions for every install of this project; refresh with 'make pins'." > constraints.txt
	@$(BIN)/python -m pip freeze --all | grep -E '^[A-Za-z0-9_.-]+==' | grep -v -E '^(pip|emr-sync)==' >> constraints.txt

# What an installation downloads, with the hash of every file: pip install --require-hashes -r deploy/requirements.txt
locks: .venv-tools/bin/uv
	.venv-tools/bin/uv pip compile pyproject.toml -c constraints.txt --universal --python-version 3.11 --generate-hashes --no-annotate \
		--no-header --quiet --output-file deploy/requirements.txt

wheel: $(STAMP)
	rm -rf build
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .

# Installs the wheel as an operator would, and lists what is in that environment (CycloneDX).
sbom: wheel .venv-tools/bin/cyclonedx-py
	rm -rf build/installed && $(PYTHON) -m venv --without-pip build/installed
	$(BIN)/python -m pip --python build/installed/bin/python install --quiet --disable-pip-version-check --require-hashes -r deploy/requirements.txt
	$(BIN)/python -m pip --python build/installed/bin/python install --quiet --disable-pip-version-check --no-deps dist/emr_sync-*.whl
	.venv-tools/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible --of JSON -o dist/emr-sync.cdx.json \
		build/installed/bin/python

# Tools that are needed for releases only, apart from the program and its tests.
.venv-tools/bin/uv .venv-tools/bin/cyclonedx-py:
	test -x .venv-tools/bin/python || $(PYTHON) -m venv .venv-tools
	.venv-tools/bin/python -m pip install --quiet --disable-pip-version-check uv cyclonedx-bom

clean:
	rm -rf .venv .venv-tools build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
