# The two commands of the README, and what they are made of. `make help` lists them.
PYTHON ?= python3
VENV   ?= .venv
MODEL  ?= demo
BIN    := $(VENV)/bin
READY  := $(VENV)/.installed
PIP    := $(BIN)/pip install --quiet --disable-pip-version-check
ROOT   := $(if $(filter 0,$(shell id -u)),,sudo)
# Where torch comes from, if not from pip's default index (docs/settings.md).
TORCH_INDEX ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo test browser page client-tools clients client-lock fault-tools faults soak hardening arm images-check audit-tools audit sbom manifests voice lint-tools monitoring-tools check format lock clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: $(READY) ## install everything into .venv

$(READY): pyproject.toml
	@echo "Installing into $(VENV); the first time this takes a few minutes…"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11 …")'
	@$(PYTHON) -m venv $(VENV)
	@test -z "$(TORCH_INDEX)" || $(PIP) --index-url "$(TORCH_INDEX)" torch==2.13.0
	@$(PIP) -e '.[api,worker,client,dev]'
	@touch $@

demo: $(READY) ## narrate a page end to end and write demo.wav (MODEL=0.6B-CustomVoice: a voice like a person's)
	@$(BIN)/python examples/demo.py --model $(MODEL) -o demo.wav

# Most of them wait for processes: two at a time; the one that is done takes from the other.
TEST_PROCESSES ?= 2

test: check monitoring-tools ## static checks and all tests (TEST_PROCESSES=1: one at a time)
	$(BIN)/pytest -n $(TEST_PROCESSES) --dist worksteal

browser: ## install the browser that the tests of the page use
	@$(ROOT) apt-get update -qq
	@$(ROOT) apt-get install -y -qq --no-install-recommends chromium

page: $(READY) ## use the web page in that browser (SCREENSHOTS=1: and take the pictures of docs/images)
	@$(BIN)/pytest tests/browser -p no:cacheprovider

client-tools: # what the programs are built with, and the lists of Debian's packages
	@test -e /usr/include/portaudio.h || \
	  { $(ROOT) apt-get update -qq && \
	    $(ROOT) apt-get install -y -qq --no-install-recommends gcc libc6-dev python3-dev portaudio19-dev; }
	@apt-cache show caddy nginx >/dev/null 2>&1 || $(ROOT) apt-get update -qq
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || \
	  command -v google-chrome >/dev/null || $(MAKE) browser

clients: $(READY) client-tools ## run programs that others wrote against the server, as docs/clients.md says
	@test -d .clients || echo "Installing them into .clients; the first time this takes a few minutes…"
	@$(BIN)/python tests/clients/install.py .clients
	@$(BIN)/pytest tests/clients -p no:cacheprovider --timeout 600

client-lock: $(READY) # after a change of their versions
	@$(BIN)/python tests/clients/install.py .clients
	@$(BIN)/python tests/clients/lock.py .clients

FAULTS := $(BIN)/pytest tests/faults -p no:cacheprovider --timeout 7200

fault-tools: # what sets Redis's clock wrong
	@test -n "$$(ls /usr/lib/*/faketime/libfaketimeMT.so.1 2>/dev/null)" || \
	  { $(ROOT) apt-get update -qq && $(ROOT) apt-get install -y -qq --no-install-recommends faketime; }

faults: $(READY) fault-tools ## inject every fault for real, two and a half hours long (QUICK=1: a few of each; JSON=FILE: the figures)
	@QUICK=$(QUICK) JSON=$(JSON) $(FAULTS)

soak: $(READY) ## inject faults at random, under load, for MINUTES=20
	@MINUTES=$(MINUTES) JSON=$(JSON) $(FAULTS) -k soak

hardening: $(READY) ## install each extra alone, as the images do, and speak through them
	@TORCH_INDEX=$(TORCH_INDEX) $(BIN)/pytest tests/hardening -p no:cacheprovider

arm: $(READY) ## test the kernels of ARM processors, which qemu imitates
	@command -v qemu-aarch64 >/dev/null && command -v aarch64-linux-gnu-g++ >/dev/null || \
	  { $(ROOT) apt-get update -qq && \
	    $(ROOT) apt-get install -y -qq --no-install-recommends qemu-user g++-aarch64-linux-gnu; }
	@$(BIN)/pytest tests/model/worker/engine/kernels/test_arm.py -p no:cacheprovider

lint-tools: # luacheck, for the steps in Lua
	@command -v luacheck >/dev/null || ! command -v apt-get >/dev/null || \
	  { $(ROOT) apt-get update -qq && $(ROOT) apt-get install -y -qq --no-install-recommends lua-check; }

# Its package has a program for Linux on x86-64 only.
BIOME := test ! -x $(BIN)/biome && echo "biome is not run: it has no package for this machine" || $(BIN)/biome
CPP := $(foreach folder,worker tests/model/worker,$(folder)/engine/kernels/*.cpp $(folder)/engine/kernels/*.h)

monitoring-tools: # promtool, for the tests of the alerts
	@command -v promtool >/dev/null || ! command -v apt-get >/dev/null || \
	  { $(ROOT) apt-get update -qq && $(ROOT) apt-get install -y -qq --no-install-recommends prometheus; }

check: $(READY) lint-tools ## style, types and import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python .ci/lint_lua.py
	$(BIN)/clang-format --dry-run -Werror $(CPP)
	$(BIOME) check --error-on-warnings

format: $(READY) ## put the code into the project's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(CPP)
	$(BIOME) format --write

LOCK := $(BIN)/uv pip compile --quiet --config-file requirements/uv.toml pyproject.toml requirements/build.in

lock: $(READY) ## write the images' lock files anew, after a change of dependencies (UPGRADE=--upgrade: or of all versions)
	$(LOCK) $(UPGRADE) --extra api --extra client --extra tracing --output-file requirements/api.lock
	$(LOCK) $(UPGRADE) --extra worker --extra tracing --output-file requirements/worker.lock

images-check: $(READY) ## build both images without a Docker engine, and run a job in them (TORCH_INDEX=… as in the Dockerfile)
	@command -v buildah >/dev/null && command -v debootstrap >/dev/null || \
	  { $(ROOT) apt-get update -qq && \
	    $(ROOT) apt-get install -y -qq --no-install-recommends buildah debootstrap; }
	@TORCH_INDEX=$(TORCH_INDEX) $(BIN)/pytest tests/images -p no:cacheprovider --timeout 3600

# In an environment of their own: they need other versions than the service.
AUDIT := .audit/bin
IMAGES := api worker

audit-tools: # pip-audit, and what writes bills of materials
	@test -x $(AUDIT)/pip-audit || \
	  { $(PYTHON) -m venv .audit && \
	    $(AUDIT)/pip install --quiet --disable-pip-version-check pip-audit==2.10.1 cyclonedx-bom==7.5.0; }

# --strict: a package of which the advisories cannot be read is an error, not a gap.
audit: $(READY) audit-tools ## look for known vulnerabilities in what the images install, and list its licences
	@$(BIN)/python .ci/licences.py
	@$(AUDIT)/python .ci/advisories.py
	@for image in $(IMAGES); do \
	  $(AUDIT)/pip-audit --strict --disable-pip --require-hashes --requirement requirements/$$image.lock || exit 1; \
	done

sbom: audit-tools ## write each image's bill of materials (CycloneDX) to build/sbom
	@mkdir -p build/sbom
	@for image in $(IMAGES); do \
	  PYTHONWARNINGS=ignore $(AUDIT)/cyclonedx-py requirements --pyproject pyproject.toml --output-reproducible \
	    --output-file build/sbom/$$image.cdx.json requirements/$$image.lock || exit 1; \
	done
	@ls build/sbom/*.json

OVERLAY ?= cpu

manifests: $(READY) ## show what deploy/k8s gives to Kubernetes (OVERLAY=cpu, gpu, keda, managed)
	@$(BIN)/kubectl kustomize deploy/k8s/overlays/$(OVERLAY)

VOICE ?= $(HOME)/.cache/qwen-tts-queue/voice

voice: $(READY) ## train the demo voice anew, in about four hours on two cores (VOICE=FOLDER: where its state is kept)
	@command -v flite >/dev/null && test -d /usr/share/games/fortunes || \
	  { $(ROOT) apt-get update -qq && $(ROOT) apt-get install -y -qq --no-install-recommends flite fortunes; }
	@$(PIP) -e '.[worker,training]'
	@$(BIN)/python -m training $(VOICE) worker/demo_voice/checkpoint.zip

clean: ## remove what the other targets made
	rm -rf $(VENV) .clients .images .audit build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis demo.wav
