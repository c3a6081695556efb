# The browser tests need Chromium. Its headless shell loads a page in half the processor time, so it is taken where Debian has it.
# Says what is missing where nothing can be installed.
set -e
has() { command -v "$1" >/dev/null 2>&1; }
has chromium-headless-shell && exit 0
if has apt-get; then
    if [ "$(id -u)" = 0 ]; then run=""; elif sudo -n true 2>/dev/null; then run="sudo"; else run="none"; fi
    if [ "$run" != none ]; then
        echo "Installing Chromium for the browser tests."
        export DEBIAN_FRONTEND=noninteractive
        $run apt-get update -qq
        $run apt-get install -y -qq chromium-headless-shell >/dev/null || has chromium || $run apt-get install -y -qq chromium >/dev/null
        exit 0
    fi
fi
has chromium || has chromium-browser || has google-chrome && exit 0
echo "The browser tests need Chromium, and this user may not install it. Run: sudo apt-get install chromium" >&2
exit 1
