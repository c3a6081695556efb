# make studio   set everything up and start the page and a worker: http://127.0.0.1:7860
# make test     set everything up and run every test
# make faults   run every fault test in full, which takes half an hour, and keep the result under bench/
# make setup    set up only

PYTHON ?= python3
BIN := .venv/bin

.PHONY: studio setup test faults lint clean

studio: setup
	@exec $(BIN)/python app.py serve --with-worker

setup: .venv/asked

.venv/installed: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version.split()[0])'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing the pinned packages. The first time takes some minutes."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

# what no start need do: PEFT is asked for its methods, and the processor for the number format that it trains quickest in
.venv/asked: .venv/installed
	@echo "Trying what this machine trains quickest with, which takes some seconds, once."
	@$(BIN)/python -c 'import jobs.methods, jobs.devices; jobs.devices.measure_once()'
	@touch $@

test: setup .venv/installed-dev
	@sh tests/install_browser.sh
	@$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

faults: setup .venv/installed-dev
	@sh tests/install_browser.sh
	@$(BIN)/python -m bench faults

.venv/installed-dev: requirements-dev.txt .venv/installed
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

lint: .venv/installed-dev
	@$(BIN)/ruff check .

clean:
	rm -rf .venv
