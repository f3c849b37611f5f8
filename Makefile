# `make run` and `make test` set up what they need; `make help` lists the rest.
SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= python3.11
ifeq (,$(shell command -v $(PYTHON) 2>/dev/null))
PYTHON := python3
endif

export DAGSTER_DISABLE_TELEMETRY := 1
export DBT_SEND_ANONYMOUS_USAGE_STATS := false
export GX_ANALYTICS_ENABLED := false
export PYTHONPATH := $(CURDIR)

WAREHOUSE := .venv/bin/python -m orchestration

# The embedded sample ends on this day; with a landing of your own the day is today.
SAMPLE_AS_OF := 2026-06-30
ifeq (,$(WAREHOUSE_LANDING))
export WAREHOUSE_AS_OF ?= $(SAMPLE_AS_OF)
endif

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 18

run: .venv/run ## set up, then land, build, judge and publish (REBUILD=1 even when nothing changed)
	@$(WAREHOUSE) run $(if $(REBUILD),--rebuild)

plan: .venv/run ## say what a run would change, in files, rows, customers and gates, without releasing
	@$(WAREHOUSE) plan

quality: .venv/run ## how every source and mart did in its last gates (CHECK=id lists failed rows)
	@$(WAREHOUSE) quality $(if $(CHECK),--check '$(CHECK)')

rejects: .venv/run ## list the lines that did not land, with reasons
	@$(WAREHOUSE) rejects

train: run ## learn the parameters of matching from what has landed (DRY_RUN=1 only shows them, OUT=folder)
	@$(WAREHOUSE) train $(if $(DRY_RUN),--dry-run) $(if $(OUT),--out '$(OUT)')

rollback: .venv/run ## point `current` at the release before (TO=<id> at that one)
	@$(WAREHOUSE) rollback $(if $(TO),--to $(TO))

dashboard: .venv/dashboard ## open the dashboard on http://127.0.0.1:8501
	@$(WAREHOUSE) dashboard

report: .venv/run ## open the report of the current release in the browser
	@$(WAREHOUSE) report --open

export: .venv/run ## export the audiences of the current release (NAMES="newsletter win_back" only these)
	@$(WAREHOUSE) export $(NAMES)

releases: .venv/run ## list the releases on disk
	@$(WAREHOUSE) releases

status: .venv/run ## release, runs, feeds, gates and disk at one glance
	@$(WAREHOUSE) status

doctor: .venv/run ## check the installation and say what to fix
	@$(WAREHOUSE) doctor

backfill: .venv/run ## release each day of a range, in order: FROM=2026-06-01 TO=2026-06-30
	@$(WAREHOUSE) backfill --from '$(FROM)' --to '$(TO)'

segments: .venv/run ## prove the rules of segments, and the sizes they would give (RULES=file.csv)
	@$(WAREHOUSE) segments $(if $(RULES),--rules '$(RULES)')

source: .venv/run ## draft the sheet of a new source: NAME=loyalty/members FILE=a.csv; answered, place it: NAME=
	@$(WAREHOUSE) new-source '$(NAME)' $(if $(FILE),--from '$(FILE)')

dev: .venv/run ## open the Dagster UI on http://127.0.0.1:3000
	@$(WAREHOUSE) dev

test: .venv/dev postgres chromium ## set up, then run every test
	.venv/bin/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

# Tests start a server of their own and look at pages in a browser; only the programs have to be there.
.PHONY: postgres chromium
postgres:
	@ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null || $(call debian,postgresql)

chromium:
	@command -v chromium >/dev/null || $(call debian,chromium)

debian = { echo "Installing Debian's $(1) for the tests ..." && \
    $(if $(filter-out 0,$(shell id -u)),sudo -n) sh -c 'PATH=$$PATH:/usr/sbin:/sbin; apt-get update -q && apt-get install -y -q --no-install-recommends $(1)' >/dev/null; } || \
    { echo "The tests need Debian's package $(1): apt-get install $(1)"; exit 1; }

explore: .venv/dev ## property tests on thousands of examples that were not drawn before
	.venv/bin/python -m pytest -m hypothesis --hypothesis-profile=explore

lint: .venv/dev ## ruff, mypy, sqlfluff, and a class and a purpose for every column
	@$(MAKE) --no-print-directory --output-sync --jobs 2 lint-identity lint-marts lint-python lint-governance

lint-python: .venv/dev
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

lint-governance: .venv/dev
	.venv/bin/python -m orchestration.governance.lint

# The models in two parts of about the same size: sqlfluff with dbt's templater uses one core.
IDENTITY_MODELS := models/staging models/identity
MARTS_MODELS := $(filter-out $(IDENTITY_MODELS),$(patsubst dbt_project/%/,%,$(wildcard dbt_project/models/*/)))

lint-identity: .venv/dev
	$(call sqlfluff,lint,$(IDENTITY_MODELS))

lint-marts: .venv/dev
	$(call sqlfluff,lint,$(MARTS_MODELS))

format: .venv/dev ## let ruff and sqlfluff write the layout
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .
	$(call sqlfluff,fix,models)

sample: .venv/run ## generate the embedded sample anew (the same bytes)
	.venv/bin/python seeds/generate.py --out seeds/landing --truth seeds/truth/truth.csv \
	    --people 2000 --seed 20260630 --as-of $(SAMPLE_AS_OF) --format sample --bad-lines 8

sources: .venv/run ## write docs/sources.md anew from the declared feeds
	.venv/bin/python -m orchestration.landing.contract

dictionary: .venv/run ## write docs/dictionary.md anew from the boards of the marts
	.venv/bin/python -m orchestration.transform.dictionary

governance: .venv/run ## write docs/governance.md anew: owners, purposes, lineage, classes
	.venv/bin/python -m orchestration.governance.page

docs: .venv/run ## write the documentation as static pages, with dbt docs, Data Docs and the report
	@$(WAREHOUSE) docs

metrics: .venv/run ## answer metrics from the release: METRICS="net_revenue purchases" BY=metric_time__month
	@$(WAREHOUSE) metrics $(METRICS) $(if $(BY),--by $(BY)) $(if $(WHERE),--where '$(WHERE)')

bench-run: .venv/run ## the whole run against the same SQL bare: SIZE=1000000 records
	.venv/bin/python benchmarks/bench_run.py --records $(or $(SIZE),1000000)

bench-identity: .venv/dev ## identity beside Splink: SIZE=1000000, or PEOPLE= TRUTH= MAP= (TRUTH_PATTERN= INCREMENT=)
	@.venv/bin/python -m benchmarks.bench_identity --records $(or $(SIZE),1000000) \
	    $(if $(PEOPLE),--people '$(PEOPLE)') $(if $(TRUTH),--truth '$(TRUTH)') $(if $(MAP),--map '$(MAP)') \
	    $(if $(TRUTH_PATTERN),--truth-pattern '$(TRUTH_PATTERN)') \
	    $(if $(COPIES),--copies '$(COPIES)') $(if $(INCREMENT),--increment '$(INCREMENT)') \
	    $(if $(OURS_ONLY),--ours-only)

bench-blow-up: .venv/dev ## inputs that make matching blow up, beside ordinary ones: SIZE=100000
	@.venv/bin/python -m benchmarks.bench_blow_up --records $(or $(SIZE),100000)

bench-retention: .venv/dev ## orders of a file, predicted from CALIBRATION_END up to HOLDOUT_END: ORDERS= MAP= (LAYOUT= TIME_FORMAT= WINDOW_START= WINDOW_END= RETURN_DAYS= RETURN_STATUSES=)
	@.venv/bin/python -m benchmarks.bench_retention --orders '$(ORDERS)' --map '$(MAP)' \
	    $(if $(LAYOUT),--layout '$(LAYOUT)') $(if $(TIME_FORMAT),--time-format '$(TIME_FORMAT)') \
	    $(if $(CALIBRATION_END),--calibration-end '$(CALIBRATION_END)') \
	    $(if $(HOLDOUT_END),--holdout-end '$(HOLDOUT_END)') \
	    $(if $(WINDOW_START),--window-start '$(WINDOW_START)') \
	    $(if $(WINDOW_END),--window-end '$(WINDOW_END)') \
	    $(if $(RETURN_DAYS),--return-days '$(RETURN_DAYS)') \
	    $(if $(RETURN_STATUSES),--return-statuses '$(RETURN_STATUSES)')

bench-feedback: .venv/dev ## sentiment beside labels: COMMENTS=file (LAYOUT=lines MAP= POSITIVE= NEGATIVE=)
	@.venv/bin/python -m benchmarks.bench_feedback --comments '$(COMMENTS)' \
	    $(if $(LAYOUT),--layout '$(LAYOUT)') $(if $(MAP),--map '$(MAP)') \
	    $(if $(POSITIVE),--positive '$(POSITIVE)') $(if $(NEGATIVE),--negative '$(NEGATIVE)')

bench-rfm: .venv/run ## RFM of foreign orders: ORDERS= MAP="customer_id=.. ordered_at=.. total_amount=.." (AS_OF= RULES= SEGMENT=)
	@.venv/bin/python -m benchmarks.bench_rfm --orders '$(ORDERS)' --map '$(MAP)' \
	    $(if $(AS_OF),--as-of '$(AS_OF)') $(if $(RULES),--rules '$(RULES)') \
	    $(if $(SEGMENT),--segment '$(SEGMENT)') $(if $(TIME_FORMAT),--time-format '$(TIME_FORMAT)')

bench-sessions: .venv/dev ## sessions of a file: EVENTS= MAP= (GAP_MINUTES= MIDNIGHT=1 ZONE= CAMPAIGN=1 ACCOUNT=1)
	@.venv/bin/python -m benchmarks.bench_sessions $(events_file) \
	    $(if $(GAP_MINUTES),--gap-minutes '$(GAP_MINUTES)') $(if $(ZONE),--zone '$(ZONE)') \
	    $(if $(MIDNIGHT),--midnight) $(if $(CAMPAIGN),--campaign) $(if $(ACCOUNT),--account)

bench-funnel: .venv/dev ## a funnel over a file: EVENTS= MAP= STEPS="placed completed returned"
	@.venv/bin/python -m benchmarks.bench_funnel $(events_file) $(if $(STEPS),--steps '$(STEPS)')

events_file = $(if $(EVENTS),--events '$(EVENTS)') $(if $(MAP),--map '$(MAP)') \
    $(if $(TIME_FORMAT),--time-format '$(TIME_FORMAT)') $(if $(AS_OF),--as-of '$(AS_OF)')

bench-files: .venv/dev ## bad files beside their clean twins: FOLDER= CLEAN=, FOLDER=<JSON suite>, or POLLUTE=1 (or a clean CSV)
	@.venv/bin/python -m benchmarks.bench_files $(if $(FOLDER),--folder '$(FOLDER)') \
	    $(if $(CLEAN),--clean '$(CLEAN)') $(if $(POLLUTE),--pollute $(if $(filter-out 1,$(POLLUTE)),'$(POLLUTE)')) \
	    $(if $(ALL),--all)

bench-marts: .venv/run ## the marts beside the same SQL bare: CUSTOMERS=1000000 (ORDERS= EVENTS= INCREMENT=0.01)
	@.venv/bin/python -m benchmarks.bench_marts --customers '$(or $(CUSTOMERS),1000000)' \
	    $(if $(ORDERS),--orders '$(ORDERS)') $(if $(EVENTS),--events '$(EVENTS)') \
	    $(if $(INCREMENT),--increment '$(INCREMENT)') $(if $(KEEP),--keep)

bi-superset: .venv/dev chromium .venv-superset/bin/superset ## a real Apache Superset on two releases: adds database and chart by API, compares, takes a picture
	@.venv/bin/python -m benchmarks.bi_superset

# 160 packages that no run needs, so in an environment of their own; about two minutes.
.venv-superset/bin/superset: benchmarks/requirements-superset.txt
	$(PYTHON) -m venv .venv-superset
	.venv-superset/bin/python -m pip install -q --disable-pip-version-check -r $<
	@touch $@

bench-faults: .venv/dev ## kill N=100 runs in every stage while readers read, then every other fault
	@.venv/bin/python -m benchmarks.faults --kills $(or $(N),100)

bench-data-faults: .venv/run ## break one thing in a day's files, see which gate notices: PEOPLE=40000 (SEED=11 ONLY=text ALL_GATES=1 CLEAN_DAYS=900)
	@.venv/bin/python -m benchmarks.data_faults --people '$(or $(PEOPLE),40000)' \
	    $(if $(SEED),--seed '$(SEED)') $(if $(ONLY),--only '$(ONLY)') \
	    $(if $(ALL_GATES),--all-gates) $(if $(CLEAN_DAYS),--clean-days '$(CLEAN_DAYS)')

bench-days: .venv/run ## N=1000 small days in a row: what a run costs, and whether anything grows (PEOPLE=600 AT_ONCE=600)
	@.venv/bin/python -m benchmarks.bench_days --days $(or $(N),1000) --people $(or $(PEOPLE),600) \
	    $(if $(AT_ONCE),--at-once '$(AT_ONCE)')

bench-erasure: .venv/run ## one person and a thousand forgotten, beside one whole run: SIZE=1000000
	@.venv/bin/python -m benchmarks.bench_erasure --records $(or $(SIZE),1000000)

bench-encryption: .venv/run ## runs with keys for everything beside runs without: SIZE=300000 (PAIRS=2)
	@.venv/bin/python -m benchmarks.bench_encryption --records $(or $(SIZE),300000) \
	    $(if $(PAIRS),--pairs '$(PAIRS)')

bench-dashboard: .venv/dev chromium ## how long people wait for the dashboard: CUSTOMERS=1000000
	@.venv/bin/python -m benchmarks.bench_dashboard --customers '$(or $(CUSTOMERS),1000000)'

lock: ## pin versions anew (needs uv)
	$(LOCK) --extra dev --extra dashboard -o requirements-dev.lock
	$(LOCK) -c requirements-dev.lock -o requirements.lock
	$(LOCK) --extra dashboard -c requirements-dev.lock -o requirements-dashboard.lock

# Hashes and names only: where packages come from is the machine's business.
LOCK := uv pip compile pyproject.toml -q --python-version 3.11 --generate-hashes \
    --no-emit-index-url --no-strip-extras --no-annotate --no-header

clean: ## remove what was built; the warehouse in .warehouse stays
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis dbt_project/target dbt_project/logs
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# One environment, three depths: what a run needs, the dashboard too, and what the tests need.
.venv/run: requirements.lock
	@$(call install,requirements.lock)
	@touch $@

.venv/dashboard: requirements-dashboard.lock
	@$(call install,requirements-dashboard.lock)
	@touch .venv/run $@

.venv/dev: requirements-dev.lock
	@$(call install,requirements-dev.lock)
	@touch .venv/run .venv/dashboard $@

# The dbt templater opens the working database: an empty one, so that it needs no run before it
# and disturbs none beside it.
sqlfluff = cd dbt_project && mkdir -p target/$@ && WAREHOUSE_HOME=target/$@ DBT_TARGET_PATH=target/$@ \
    ../.venv/bin/sqlfluff $(1) $(2) --processes 1 --disable-progress-bar

define install
$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if v == (3, 11) else f"Python 3.11 is needed, $(PYTHON) is {v[0]}.{v[1]}. Install it, or name it: make PYTHON=/path/to/python3.11 ...")' && \
echo "Installing $(1) into .venv (about a minute the first time) ..." && \
test -x .venv/bin/python || $(PYTHON) -m venv .venv && \
if command -v uv >/dev/null; then uv pip install -q --python .venv/bin/python --require-hashes -r $(1); \
else .venv/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r $(1); fi
endef

.PHONY: help source run plan quality rejects train rollback dashboard report export releases status doctor backfill dev test explore lint lint-python lint-identity lint-marts lint-governance format sample sources dictionary governance docs bi-superset metrics bench-run bench-identity bench-blow-up bench-feedback segments bench-rfm bench-sessions bench-funnel bench-marts bench-files bench-retention bench-faults bench-data-faults bench-days bench-erasure bench-encryption bench-dashboard lock clean
