# make studio   set everything up and start the page and a worker: http://127.0.0.1:7860
# make test     set everything up and run every test
# make faults   run every fault test in full, which takes half an hour, and keep the result under bench/
# make setup    set up only

PYTHON ?= python3
BIN := .venv/bin

.PHONY: studio setup test faults lint clean

studio: setup
	@exec $(BIN)/python app.py serve --with-worker

setup: .venv/installed

.venv/installed: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version.split()[0])'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing the pinned packages. The first time takes some minutes."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@$(BIN)/python -c 'import jobs.methods'  # asks PEFT for its methods once, so that no start need do it
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
