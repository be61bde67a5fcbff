# make test runs everything that the README promises. Tools are pinned here and
# built by the go command; nothing needs to be installed by hand.

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@v1.9.0

# A count, not a time: at the end of a time, go test can fail for no reason (go.dev/issue/75804).
FUZZTIME ?= 150000x
PYTHON   ?= python3

# The folder of each module that go.work ties together.
MODULES := $(shell go list -m -f '{{.Dir}}')
in_each_module = @set -e; for m in $(MODULES); do (set -x; cd "$$m" && $(1)); done

# The real ProxyStore, for package interop. The stamp's name holds a hash of
# what is to be installed: no work when that is there, a new one when it changes.
VENV_STAMP := .venv/installed-$(shell cat interop/python/requirements.txt interop/python/constraints.txt | cksum | cut -d' ' -f1)

.PHONY: test fmt format vet staticcheck vulncheck venv unit fuzz cover help

test: ## everything: format, vet, staticcheck, govulncheck, all tests with -race, interop, fuzzing
	@start=$$(date +%s); \
	$(MAKE) --no-print-directory format vet staticcheck vulncheck venv unit fuzz && \
	echo "make test: everything passed in $$(($$(date +%s) - start)) s" || \
	{ echo "make test: FAILED, see above"; exit 1; }

fmt: ## rewrite all Go files as gofmt wants them
	gofmt -w $(MODULES)

format: ## fail if a Go file is not formatted
	@files=$$(gofmt -l $(MODULES)); test -z "$$files" || { echo "not formatted (make fmt):"; echo "$$files"; exit 1; }

vet: ## go vet
	$(call in_each_module,go vet ./...)

staticcheck: ## staticcheck, as staticcheck.conf says
	$(call in_each_module,go run $(STATICCHECK) ./...)

vulncheck: ## govulncheck, where its database can be reached
	@for m in $(MODULES); do \
		out=$$(cd "$$m" && go run $(GOVULNCHECK) ./... 2>&1) && echo "govulncheck: $$m is clean" || case "$$out" in \
		*"fetching vulnerabilities"*) echo "govulncheck: no vulnerability database can be reached from here, not checked" ;; \
		*) echo "$$out"; exit 1 ;; \
		esac; \
	done

venv: ## install the real ProxyStore into .venv, if Python is there
	@if command -v $(PYTHON) >/dev/null; then $(MAKE) --no-print-directory $(VENV_STAMP); \
	elif [ "$$CI" = true ]; then echo "no $(PYTHON) here"; exit 1; \
	else echo "no $(PYTHON) here: the tests against the real ProxyStore will be skipped"; fi

$(VENV_STAMP):
	rm -rf .venv
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check -r interop/python/requirements.txt
	touch $@

unit: ## all tests of all modules, with the race detector, and without it those that it spoils
	go test -run 'TestT21_AMillionMessages|TestWhatAnIdleClientCosts|Allocations' . ./transport
	$(call in_each_module,go test -race ./...)

fuzz: ## fuzz each target for FUZZTIME (150000 inputs)
	@grep -rHoE '^func Fuzz[A-Za-z0-9_]*' --include='*_test.go' $(MODULES) | sort -u | while IFS=: read -r file func; do \
		(set -x; cd "$$(dirname "$$file")" && go test -run '^$$' -fuzz "^$${func#func }$$" -fuzztime $(FUZZTIME) .) || exit 1; \
	done

cover: ## test coverage of the root module, by function, in coverage.out
	go test -short -coverpkg=./... -coverprofile=coverage.out ./...
	go tool cover -func=coverage.out | tail -n 1

help: ## this list
	@sed -nE 's/^([a-z]+):.*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 14
