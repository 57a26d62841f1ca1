# Commands for people and for CI. Each is a script below scripts/; this file only names them.

SHELL := /bin/bash
.DEFAULT_GOAL := help

.PHONY: help setup demo demo-full demo-wideworld menu ha down status test test-long test-api test-pages test-arrival test-bi test-compose test-failover test-faults test-monitoring check advisories pictures bench-reader bench-loader bench-history load-test clean test-replication test-brokers test-release test-swarm release

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install what the demo and the tests need and this machine lacks
	@scripts/setup.sh test

demo: ## Build everything, run it on real servers, show the marts, leave it running
	@scripts/demo.sh

demo-full: ## The demo, with Superset's dashboards and Airflow's scheduled tables beside it
	@scripts/demo.sh full

demo-wideworld: ## The wholesaler instead of the airline: seed, load, compare, show the marts, let it live with its page
	@scripts/demo-wideworld.sh

menu: ## Start a primary with two read replicas, and open a menu over them
	@scripts/menu.sh

ha: ## Start a highly available PostgreSQL: three servers under Patroni, etcd, HAProxy
	@scripts/ha.sh

down: ## End what a demo or the menu left running
	@scripts/devstack.sh down

status: ## Show what a demo or the menu left running
	@scripts/devstack.sh status

test: ## Run all tests on real servers that are started for them
	@scripts/test.sh

test-long: ## Run the tests that `make test` leaves out because each takes minutes
	@scripts/test-long.sh

test-api: ## Exercise every operation of the booking service, by generated tests and by a generated client
	@scripts/test-api.sh

test-arrival: ## Make 50 bookings through the booking service, and show how long each takes to the data of the dashboards
	@VAULTSTREAM_ARRIVALS=50 scripts/test.sh --no-capture arrival

test-pages: ## Let a real Chromium book on the pages over a whole pipeline, and take the pictures of docs/images
	@scripts/test-pages.sh

test-bi: ## Test dashboards and scheduled tables with real Superset and Airflow on a pipeline of their own
	@scripts/test-bi.sh

test-brokers: ## Kill, lose and restart three secured Kafka brokers, one after the other (minutes)
	@scripts/test-brokers.sh

test-compose: ## Bring the composition up with a real Docker engine and kill each container once (root, about 20 minutes)
	@scripts/test-compose.sh

test-faults: ## Load with two and with four loaders under 200 random faults each (about 20 minutes)
	@scripts/test-faults.sh

test-failover: ## Let a highly available source fail over 50 times under bookings, with the pipeline behind it (about an hour)
	@scripts/test-failover.sh

test-monitoring: ## Let a Prometheus watch what `make demo` left running
	@scripts/test-monitoring.sh live

test-replication: ## Start a pipeline with a hot backup and a WAL archive, and list whether all of it replicates
	@scripts/test-replication.sh

release: ## Build static programs, with archives, checksums and bills of materials, into target/release-archives
	@scripts/release.sh

test-release: ## Start what `make release` has built on bare roots, and run a pipeline of it (root, about 3 minutes)
	@scripts/test-release.sh

test-swarm: ## Deploy the highly available stack into a swarm of this machine, kill its primary, and remove it (root, about 15 minutes)
	@scripts/test-swarm.sh

check: ## Check format, lints, crates, imports, shell scripts, documentation, alerts, pictures, the version, workflows, compose files
	@scripts/check.sh

advisories: ## Ask RustSec's database for known weaknesses in the crates (it is fetched from github.com)
	@scripts/advisories.sh

pictures: ## Draw the pictures of the documentation anew, and write what is made from a model
	@scripts/pictures.sh

bench-reader: ## Drain one WAL with cdc-reader and with pg_recvlogical
	@scripts/bench.sh bench-reader

bench-loader: ## Load one set of topics with vault-loader, beside bare COPY of the same rows and beside Debezium's JDBC sink
	@scripts/bench.sh bench-loader

bench-history: ## Load the same events onto a satellite of 1 million rows and onto one of 20 million (20 GB of disk)
	@scripts/bench.sh bench-loader --history 20000000

load-test: ## Let JMeter's customers search and book, with and without PgBouncer and Redis (about 9 minutes)
	@scripts/bench.sh bench-booking

clean: ## End everything started here and remove what was built, run and measured
	@scripts/clean.sh
