# Verbs for people; the work is done in scripts/ and e2e/cluster/, which also run by themselves.
# CLUSTER=name picks another cluster than "ro"; KUBECONFIG=file uses one that you have; PROFILE=dev makes a quick image.

.DEFAULT_GOAL := help
.PHONY: help demo test unit simulate explore mutants lint fmt scenarios crd cluster cluster-down image dockerfile load deploy crashes figures

help: ## this table
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## a real cluster, a Redis, its master killed under writes: what a client sees
	@scripts/demo

test: ## everything, once: lints, unit tests and laws, real servers, a real cluster (KEEP=1 leaves it up)
	@scripts/test

unit: ## unit tests and laws, without a cluster
	@scripts/stage core
	@scripts/stage shell

simulate: ## so many runs of the operator in a simulated world: SEEDS=0..10000, or one seed and its story; scripts/simulate --rules takes rules out
	@scripts/simulate $(SEEDS)

explore: ## every interleaving of a small world around the decisions, rules taken out too; writes docs/explorer.md
	@scripts/explore

mutants: ## changes the core in every place: does a test fail? writes docs/mutants.md (half an hour, resumable; FILES="decide record.rs" for some)
	@scripts/mutants $(FILES)

lint: ## rustfmt, clippy, cargo-deny, CRD drift
	@scripts/stage fmt
	@scripts/stage clippy
	@scripts/stage deny
	@scripts/stage crd-drift

fmt: ## rewrite the sources with rustfmt
	@cargo fmt --all

scenarios: ## which test shows which scenario of docs/scenarios.md
	@scripts/scenarios

crd: ## rewrite the CRD in manifests/ from the Rust types
	@scripts/crd

cluster: ## bring up three-node Kubernetes on this machine (root; a healthy one is left as it is)
	@e2e/cluster/up

cluster-down: ## take it away; nothing stays but the build cache
	@e2e/cluster/down

image: ## the operator's image as target/redis-operator.tar
	@scripts/image

dockerfile: ## try the Dockerfile whole, its build stage in a container too (ARCH=arm64 for that; five minutes, leaves nothing)
	@scripts/dockerfile $(ARCH)

load: ## the image into the running cluster, and the operator restarted with it
	@scripts/deploy --only-image

deploy: ## the image and manifests/ into the running cluster, and wait until the operator is available
	@scripts/deploy

crashes: ## the operator killed, and late, between any two steps; writes docs/crashes.md (eight minutes)
	@scripts/crashes

figures: ## the long counts of the README (resumable; COUNT=20, FAULTS="hung=5 cable=3" for some of them, FALSE_ALARM_MINUTES=60)
	@scripts/figures
