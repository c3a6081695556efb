# The browser tests need Chromium. Installs Debian's where that is possible, else says what is missing.
set -e
command -v chromium >/dev/null 2>&1 && exit 0
if command -v apt-get >/dev/null 2>&1; then
    if [ "$(id -u)" = 0 ]; then run=""; elif sudo -n true 2>/dev/null; then run="sudo"; else run="none"; fi
    if [ "$run" != none ]; then
        echo "Installing Chromium for the browser tests."
        $run apt-get update -qq
        DEBIAN_FRONTEND=noninteractive $run apt-get install -y -qq chromium >/dev/null
        exit 0
    fi
fi
echo "The browser tests need Chromium, and this user may not install it. Run: sudo apt-get install chromium" >&2
exit 1
