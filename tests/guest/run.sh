#!/bin/bash
# Runs a command in a small Linux guest that has real /dev/video devices, on a machine whose own
# kernel has none. `run.sh --help` says what it gives, tests/guest/README.md how it works.
set -euo pipefail

usage() {
    cat <<'EOF'
usage: run.sh [options] [-- COMMAND [ARG...]]
  Boots the guest, runs COMMAND in it, prints its output, returns its exit status
  (124: it took too long; 125: the guest cannot run here, for the reason that is printed;
  126: the guest itself died).

  --mount DIR         this folder is writable in the guest, at the same path (repeatable; the first
                      is the working directory). Everything else of the host is visible at its own
                      path; what the guest writes there is dropped.
  --env NAME[=VALUE]  set or pass on an environment variable (repeatable)
  --mem MB            guest memory (3072)
  --timeout SECONDS   COMMAND is ended after this (300)
  --build-only        only make sure that the guest's kernel is in the cache
  --verbose           the guest kernel's messages on stderr

In the guest:
  /dev/video0   vivid, a webcam with a moving test pattern  ($WEBCAM_DEVICE)
  /dev/video10  v4l2loopback, the virtual camera            ($VCAM_DEVICE, $VCAM_LABEL)
  /dev/video11  v4l2loopback, a webcam that a test feeds    ($FED_DEVICE, "Fed Webcam")
  modprobe works, so that a test can load v4l2loopback anew with other options.
Environment: VMCAM_CACHE, where the built kernel is kept (~/.cache/vcam-guest); VMCAM_FRESH=1, build
anew with the newest packages; VMCAM_BUILD_TIMEOUT (1500 s); VMCAM_CPU, the host CPU to run on.
EOF
}

CACHE=${VMCAM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/vcam-guest}
MEM=3072 TIMEOUT=300 LABEL=vcam BUILD_ONLY=0 VERBOSE=0
MOUNTS=() ENVS=() CMD=()

say() { echo "run.sh: $*" >&2; }
die() { say "$*"; exit 125; }

while [ $# -gt 0 ]; do
    case $1 in
        --mount) MOUNTS+=("$(cd "$2" && pwd -P)"); shift 2 ;;
        --env) ENVS+=("$2"); shift 2 ;;
        --mem) MEM=$2; shift 2 ;;
        --timeout) TIMEOUT=$2; shift 2 ;;
        --build-only) BUILD_ONLY=1; shift ;;
        --verbose) VERBOSE=1; shift ;;
        -h | --help) usage; exit 0 ;;
        --) shift; CMD=("$@"); break ;;
        *) usage >&2; die "unknown option $1" ;;
    esac
done
[ "$(uname -sm)" = "Linux x86_64" ] || die "the guest runs on x86-64 Linux only"
command -v apt-get >/dev/null || die "the guest is built from Debian's packages: apt-get is missing"
mkdir -p "$CACHE"; CACHE=$(cd "$CACHE" && pwd -P)

BUILD='' VM='' CAT='' DOG='' RUN='' TMP=''
end_build() { [ -z "$BUILD" ] || { kill -KILL -- "-$BUILD"; wait "$BUILD"; } 2>/dev/null || true; BUILD=''; }
end_guest() { # the whole group at once: a User-Mode-Linux process must not outlive its tracer
    [ -z "$DOG" ] || { kill "$DOG"; wait "$DOG"; } 2>/dev/null || true
    [ -z "$VM" ] || { kill -KILL -- "-$VM"; wait "$VM"; } 2>/dev/null || true
    DOG='' VM=''
}
cleanup() {
    trap - EXIT INT TERM HUP
    end_build; end_guest
    [ -z "$CAT" ] || { kill "$CAT"; wait "$CAT"; } 2>/dev/null || true
    rm -rf ${RUN:+"$RUN"} ${TMP:+"$TMP"}
}
trap cleanup EXIT
trap 'cleanup; exit 130' INT
trap 'cleanup; exit 143' TERM HUP

# bounded LOG COMMAND...: a build step in a session of its own, ended when it takes too long
bounded() {
    local log=$1 rc=0; shift
    setsid timeout -k 10 "${VMCAM_BUILD_TIMEOUT:-1500}" "$@" </dev/null >>"$log" 2>&1 & BUILD=$!
    wait "$BUILD" || rc=$?
    end_build
    [ $rc = 0 ] || { cp "$log" "$CACHE/build-failed.log"; tail -25 "$log" >&2; die "failed (status $rc), log in $CACHE/build-failed.log: $*"; }
}

# ------------------------------------------------------------------ packages

APT="apt-get -q -o DPkg::Lock::Timeout=300"

updated=0
apt_update() { [ $updated = 1 ] || [ "$(id -u)" != 0 ] || $APT update >/dev/null || true; updated=1; }

candidate() { LC_ALL=C apt-cache policy "$1" 2>/dev/null | sed -n 's/^  Candidate: //p' | grep -v '(none)' || true; }

# the package that linux-source stands for
latest_source() {
    local d; d() { LC_ALL=C apt-cache depends linux-source 2>/dev/null | sed -n 's/^  Depends: \(linux-source-[0-9].*\)/\1/p' | head -1 || true; }
    [ -n "$(d)" ] || apt_update
    d
}

# need TOOL:PACKAGE...: make sure that the tools of the given packages are there
need() {
    local miss=() t
    for t; do PATH=$PATH:/usr/sbin:/sbin command -v "${t%%:*}" >/dev/null || miss+=("${t##*:}"); done
    [ ${#miss[@]} = 0 ] && return
    [ "$(id -u)" = 0 ] || die "please install: ${miss[*]}"
    say "installing ${miss[*]}"
    apt_update
    DEBIAN_FRONTEND=noninteractive $APT install -y --no-install-recommends "${miss[@]}" >"$CACHE/apt.log" 2>&1 || { tail -5 "$CACHE/apt.log" >&2; die "apt-get failed"; }
}

# fetch DIR PACKAGE...: unpack Debian packages into DIR, without installing them
fetch() {
    local dir=$1 p; shift
    for p; do [ -n "$(candidate "$p")" ] || apt_update; done
    mkdir -p "$dir"
    (cd "$dir" && $APT download "$@" >apt.log 2>&1 || { $APT update >>apt.log 2>&1 || true; $APT download "$@" >>apt.log 2>&1; }) || { tail -5 "$dir/apt.log" >&2; die "cannot download $*"; }
    for p in "$dir"/*.deb; do dpkg-deb -x "$p" "$dir"; rm "$p"; done
}

# ------------------------------------------------------------------ the kernel

kernel_config() { # everything that is not named here is off
    local o
    for o in 64BIT MMU MODULES MODULE_UNLOAD MULTIUSER PRINTK PRINTK_TIME BUG BASE_FULL EXPERT KALLSYMS CC_OPTIMIZE_FOR_PERFORMANCE \
        SYSVIPC CROSS_MEMORY_ATTACH POSIX_TIMERS HIGH_RES_TIMERS NO_HZ_IDLE FUTEX EPOLL SIGNALFD TIMERFD EVENTFD AIO SHMEM ADVISE_SYSCALLS \
        MEMBARRIER FILE_LOCKING INOTIFY_USER FHANDLE MCONSOLE MAGIC_SYSRQ PROC_FS PROC_SYSCTL SYSFS TMPFS TMPFS_XATTR TMPFS_POSIX_ACL MEMFD_CREATE \
        DEVTMPFS OVERLAY_FS HOSTFS BINFMT_ELF BINFMT_SCRIPT NET UNIX INET SECCOMP SECCOMP_FILTER NAMESPACES UTS_NS IPC_NS USER_NS PID_NS NET_NS \
        TTY UNIX98_PTYS STDERR_CONSOLE NULL_CHAN VIRTIO_MENU VIRTIO_UML UML_PCI_OVER_VIRTIO \
        MEDIA_SUPPORT MEDIA_SUPPORT_FILTER MEDIA_CAMERA_SUPPORT MEDIA_TEST_SUPPORT VIDEO_DEV MEDIA_CONTROLLER V4L_TEST_DRIVERS FB; do
        echo "CONFIG_$o=y"
    done
    echo CONFIG_VIDEO_VIVID=m
    echo CONFIG_VIDEO_VIVID_MAX_DEVS=8
}

# a kernel in the cache that was made with this configuration
cached() {
    local o
    [ -z "${VMCAM_FRESH:-}" ] || return 1
    for o in "$CACHE"/uml-*/ok; do
        if [ -e "$o" ] && [ "$(cat "$o")" = "$1" ]; then KDIR=${o%/ok}; return 0; fi
    done
    return 1
}

build() {
    local src lver vver hash tmp s o
    hash=$(kernel_config | sha256sum | cut -c1-12)
    if cached "$hash"; then return; fi
    src=$(latest_source)
    [ -n "$src" ] || die "no linux-source package: a Debian archive and apt-get update are needed"
    lver=$(candidate "$src"); vver=$(candidate v4l2loopback-dkms)
    [ -n "$lver" ] && [ -n "$vver" ] || die "no $src or no v4l2loopback-dkms package"
    KDIR=$CACHE/uml-$lver-$vver-$hash
    need gcc:gcc make:make flex:flex bison:bison bc:bc xz:xz-utils depmod:kmod
    [ -e /usr/lib/x86_64-linux-gnu/libc.a ] || need no-such-tool:libc6-dev
    tmp=$CACHE/build.$$ TMP=$CACHE/build.$$; rm -rf "$tmp"
    say "building a User-Mode-Linux kernel from $src $lver and v4l2loopback $vver (once; minutes)"
    local t0=$SECONDS
    fetch "$tmp/deb" "$src" v4l2loopback-dkms
    s=$tmp/src; mkdir -p "$s"
    # other architectures' and big drivers' sources are not compiled: leave them packed
    tar xf "$tmp/deb/usr/src/$src.tar.xz" -C "$s" --strip-components=1 --wildcards --exclude='*/Documentation/*/*' \
        --exclude='*/drivers/gpu/*.[ch]' --exclude='*/drivers/net/ethernet/*.[ch]' --exclude='*/drivers/net/wireless/*.[ch]' \
        --exclude='*/drivers/staging/*.[ch]' --exclude='*/drivers/scsi/*.[ch]' --exclude='*/drivers/infiniband/*.[ch]' \
        --exclude='*/sound/*.[ch]' --exclude='*/tools/testing/*' --exclude='*/tools/perf/*' \
        --exclude='*/arch/[!ux]*/*.[chS]' --exclude='*/boot/dts/*.dts*'
    kernel_config >"$tmp/config"
    cp -r "$tmp"/deb/usr/src/v4l2loopback-* "$tmp/v4l2loopback"
    bounded "$tmp/build.log" make -C "$s" ARCH=um KCONFIG_ALLCONFIG="$tmp/config" allnoconfig
    while read -r o; do grep -qx "$o" "$s/.config" || say "kernel option not taken: $o"; done <"$tmp/config"
    bounded "$tmp/build.log" nice make -C "$s" ARCH=um -j"$(nproc)" linux modules
    bounded "$tmp/build.log" make -C "$s" ARCH=um INSTALL_MOD_PATH="$tmp/out" modules_install
    bounded "$tmp/build.log" make -C "$s" ARCH=um M="$tmp/v4l2loopback" modules
    local rel; rel=$(ls "$tmp/out/lib/modules")
    install -D -m644 "$tmp/v4l2loopback/v4l2loopback.ko" "$tmp/out/lib/modules/$rel/extra/v4l2loopback.ko"
    rm -f "$tmp/out/lib/modules/$rel/build" "$tmp/out/lib/modules/$rel/source"
    PATH=$PATH:/usr/sbin:/sbin depmod -b "$tmp/out" "$rel"
    install -m755 "$s/linux" "$tmp/out/linux"; strip "$tmp/out/linux"
    cp "$s/.config" "$tmp/out/config"; echo "$src $lver, v4l2loopback $vver" >"$tmp/out/versions"
    echo "$hash" >"$tmp/out/ok"
    rm -rf "$KDIR"; mv "$tmp/out" "$KDIR"; rm -rf "$tmp"; TMP=''
    say "built in $((SECONDS - t0)) s, $(du -sh "$KDIR" | cut -f1)"
}

# ------------------------------------------------------------------ in the guest

first_init() { # pid 1: the host's root, read-only, with a layer in memory over it
    cat <<'EOF'
#!/bin/bash
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
ctl=${0%/*}
mount -t proc proc /proc
for a in $(cat /proc/cmdline); do case $a in vmcam_modules=*) mods=${a#*=} ;; esac; done
mount -t tmpfs -o size=70% rw /run; mkdir /run/up /run/work /run/new
mount -t overlay -o lowerdir=/,upperdir=/run/up,workdir=/run/work root /run/new
n=/run/new
mount -t proc proc $n/proc; mount -t sysfs sys $n/sys; mount -t devtmpfs dev $n/dev
mount -t tmpfs run $n/run; mkdir -p $n/run/vmcam $n/run/modules
mount -t hostfs -o "$ctl" none $n/run/vmcam
mount --bind "$mods" $n/run/modules
exec chroot $n /bin/bash /run/vmcam/guest.sh
EOF
}

guest_init() { # pid 1 from here on
    cat <<'EOF'
#!/bin/bash
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
ctl=/run/vmcam
. $ctl/vars
stty -F /dev/tty0 raw -echo 2>/dev/null
exec </dev/null >/dev/tty0 2>&1
finish() { dmesg >$ctl/dmesg; echo "$1" >$ctl/status; sync; echo o >/proc/sysrq-trigger; sleep 20; }
mkdir -p /dev/shm /dev/pts /lib/modules
mount -t tmpfs -o mode=1777 shm /dev/shm; mount -t devpts -o ptmxmode=666 pts /dev/pts
ln -sfn /proc/self/fd /dev/fd; ln -sfn pts/ptmx /dev/ptmx
mount --bind /run/modules /lib/modules
ip link set lo up
hostname vmcam 2>/dev/null
while IFS= read -r d; do
    mkdir -p "$d"
    mount -t hostfs -o "$d" none "$d" || { echo "cannot mount $d"; finish 125; }
done <$ctl/mounts
modprobe vivid n_devs=1 vid_cap_nr=0 node_types=0x1 num_inputs=1 input_types=0 || { echo "no vivid"; finish 125; }
modprobe v4l2loopback devices=2 video_nr=10,11 exclusive_caps=1,1 "card_label=$LABEL,Fed Webcam" || { echo "no v4l2loopback"; finish 125; }
chmod 666 /dev/video*
cd "$DIR"
mkfifo /run/out; cat </run/out & cat=$!
(set -a; . $ctl/env; set +a; exec timeout -k 5 "$TIMEOUT" bash $ctl/cmd </dev/null >/run/out 2>&1)
status=$?
for i in {1..50}; do kill -0 $cat 2>/dev/null || break; sleep .1; done # what COMMAND left running may hold the pipe
finish $status
EOF
}

# ------------------------------------------------------------------ run

exec 9>"$CACHE/lock"; flock -w 1800 9 || die "another build holds $CACHE/lock"
build
flock -u 9; exec 9>&-
[ $BUILD_ONLY = 0 ] || exit 0
[ ${#CMD[@]} != 0 ] || { usage >&2; die "no command"; }
need modprobe:kmod ip:iproute2

RUN=$(mktemp -d "$CACHE/run.XXXXXX")
first_init >"$RUN/init"; guest_init >"$RUN/guest.sh"; chmod 755 "$RUN/init"
: >"$RUN/mounts"; [ ${#MOUNTS[@]} = 0 ] || printf '%s\n' "${MOUNTS[@]}" >"$RUN/mounts"
printf '%q ' "${CMD[@]}" >"$RUN/cmd"
printf 'TIMEOUT=%q\nLABEL=%q\nDIR=%q\n' "$TIMEOUT" "$LABEL" "${MOUNTS[0]:-/}" >"$RUN/vars"
{
    printf 'PATH=%q\nHOME=%q\nLANG=C.UTF-8\nTMPDIR=/tmp\n' "$PATH" "$HOME"
    printf 'VCAM_GUEST=1\nVCAM_DEVICE=/dev/video10\nWEBCAM_DEVICE=/dev/video0\nFED_DEVICE=/dev/video11\nVCAM_LABEL=%q\n' "$LABEL"
    for e in "${ENVS[@]+"${ENVS[@]}"}"; do
        case $e in *=*) printf '%s=%q\n' "${e%%=*}" "${e#*=}" ;; *) [ -z "${!e+x}" ] || printf '%s=%q\n' "$e" "${!e}" ;; esac
    done
} >"$RUN/env"

ulimit -c 0
# the guest's memory is a sparse file: in memory where there is room, else on disk
shm=/dev/shm; [ "$(df -m --output=avail /dev/shm 2>/dev/null | tail -1)" -ge "$MEM" ] 2>/dev/null || { shm=$RUN; say "/dev/shm is small: guest memory on disk"; }
# on one CPU: the guest has one, and its processes waking each other across CPUs costs 5 times more
cpus=$(taskset -cp $$ | sed 's/.*: //')
VMCMD=(taskset -c "${VMCAM_CPU:-${cpus##*[,-]}}" env TMPDIR="$shm" HOME="$RUN" "$KDIR/linux" "mem=${MEM}M" root=host rootfstype=hostfs rootflags=/ ro "init=$RUN/init" "vmcam_modules=$KDIR/lib/modules"
    con=null con0=null,fd:1 ssl=null random.trust_cpu=on console=stderr0 stderr=1 loglevel=6 panic=-1 "uml_dir=$RUN" umid=g)

# through a pipe of its own: the guest's console would make the caller's stdout non-blocking
mkfifo "$RUN/out"; cat "$RUN/out" & CAT=$!
setsid "${VMCMD[@]}" </dev/null >"$RUN/out" 2>>"$RUN/kernel.log" & VM=$!
sleep $((TIMEOUT + 30)) & DOG=$!
rc=0; wait -n "$VM" "$DOG" || rc=$?
kill -0 "$VM" 2>/dev/null && rc=124
end_guest
wait $CAT || true; CAT=''
[ -s "$RUN/dmesg" ] || cp "$RUN/kernel.log" "$RUN/dmesg"
[ $VERBOSE = 0 ] || cat "$RUN/dmesg" >&2
if [ -s "$RUN/status" ]; then
    status=$(cat "$RUN/status")
elif [ $rc = 124 ]; then
    status=124; say "the guest was ended after $((TIMEOUT + 30)) s:"; tail -5 "$RUN/dmesg" >&2
else
    status=126; say "the guest died (status $rc):"; tail -25 "$RUN/dmesg" >&2
fi
exit "$status"
