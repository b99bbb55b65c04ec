#!/bin/sh
# Installs runner-prep, and runs it right away when asked to. See `./install.sh --help`.
#
# Standard output belongs to the program that runs after `--` (think of `-- check --json`),
# so everything this script has to say goes to standard error.
set -eu

usage() {
    cat <<'EOF'
Installs runner-prep.

  sudo ./install.sh
      install
  sudo ./install.sh -- apply --profile dind
      install, then run `runner-prep apply --profile dind`
  sudo ./install.sh --timer --profile dind
      install, and hold the host against that profile every hour
  sudo ./install.sh --uninstall
      remove the program; what it did stays, and so do your own profiles.
      `runner-prep undo` takes that back, while the program is still there

The program is the `runner-prep` that lies beside this script (a release
archive), else it is built with cargo: the one in PATH, in ~/.cargo/bin of root
or of whoever calls sudo, else the distribution's own package where that is new
enough. Nothing is downloaded but crates and that package.

Installed are PREFIX/bin/runner-prep and the empty directory
/etc/runner-prep/profiles for profiles of your own. A second run changes
nothing.

  --timer            install systemd units that run `runner-prep check`; it
                     changes nothing, the journal says what differs, and then
                     `systemctl --failed` shows the unit
  --timer=apply      install those that run `runner-prep apply` as well
  --profile NAME     with --timer: enable and start the timer for this profile

Environment:
  PREFIX     where to install, an absolute path; default /usr/local
  DESTDIR    put before every path, to make a package; default empty

Exit code: that of the program when arguments follow `--`; else 0, or 2 when
something went wrong.
EOF
}

say() {
    printf '%s\n' "install.sh: $*" >&2
}

# die WHAT [LINE...]: the lines say why, and what to do.
die() {
    say "error: $1"
    shift
    for line in "$@"; do
        printf '  %s\n' "$line" >&2
    done
    exit 2
}

stage=
scratch=
text=

# Nothing of ours stays behind, however we end.
cleanup() {
    if [ -n "$stage" ]; then
        rm -f -- "$stage"
    fi
    if [ -n "$text" ]; then
        rm -f -- "$text"
    fi
    if [ -n "$scratch" ]; then
        rm -rf -- "$scratch"
    fi
}

# The owner of a file as a number, and the letters of its mode. `stat` has other options everywhere; `ls` has not.
owner_of() {
    # shellcheck disable=SC2012  # one known path, and only the fields before the name are read
    ls -ldn -- "$1" | awk 'NR == 1 { print $3 }'
}

mode_of() {
    # shellcheck disable=SC2012  # as above
    ls -ldn -- "$1" | cut -c 1-10
}

home_of() {
    if command -v getent >/dev/null 2>&1; then
        getent passwd "$1" | cut -d : -f 6
    else
        awk -F : -v name="$1" '$1 == name { print $6 }' /etc/passwd
    fi
}

same_bytes() {
    if command -v cmp >/dev/null 2>&1; then
        cmp -s -- "$1" "$2"
    else
        [ "$(sha256sum <"$1")" = "$(sha256sum <"$2")" ]
    fi
}

# at_least HAVE WANT: whether one version is not older than another; what follows the numbers does not count,
# nor does the epoch of a package.
at_least() {
    printf '%s\n%s\n' "${1#*:}" "$2" | awk '
        { sub(/[^0-9.].*/, ""); n = split($0, part, "."); for (i = 1; i <= 3; i++) v[NR, i] = i <= n ? part[i] + 0 : 0 }
        END {
            for (i = 1; i <= 3; i++) if (v[1, i] != v[2, i]) exit v[1, i] < v[2, i]
            exit 0
        }'
}

# Whether a directory that may not be there yet can be made and written to.
can_write() {
    directory=$1
    while [ ! -e "$directory" ] && [ ! -L "$directory" ]; do
        case $directory in
        */*) directory=${directory%/*} ;;
        *) directory=. ;;
        esac
        directory=${directory:-/}
    done
    [ -d "$directory" ] && [ -w "$directory" ]
}

# --- building -----------------------------------------------------------------------------------------------

# Who called sudo or doas, when that was a person.
caller=
cargo=
rustc=
builder=
tried=

# Runs a command as the builder, in an environment in which their own Rust finds itself.
as_builder() {
    set -- env PATH="${cargo%/*}:$PATH" ${rustc:+"RUSTC=$rustc"} "$@"
    if [ -z "$builder" ]; then
        "$@"
        return
    fi
    (
        # Root's own say nothing about the builder's.
        unset CARGO_HOME RUSTUP_HOME
        set -- env HOME="$builder_home" "$@"
        if command -v runuser >/dev/null 2>&1; then
            exec runuser -u "$builder" -- "$@"
        elif command -v sudo >/dev/null 2>&1; then
            exec sudo -n -u "$builder" -- "$@"
        else
            exec doas -n -u "$builder" "$@"
        fi
    )
}

# Whether somebody can be the builder with the cargo at hand.
try_builder() {
    builder=$1
    builder_home=
    if [ -n "$builder" ]; then
        builder_home=$(home_of "$builder")
        [ -n "$builder_home" ] || return 1
        # What the builder cannot read, they cannot build.
        as_builder test -r "$here/Cargo.toml" 2>/dev/null || return 1
    fi
    version=$(cd "$here" && as_builder "$cargo" --version 2>/dev/null) || return 1
    version=${version#cargo }
    version=${version%% *}
    [ -n "$version" ]
}

# Whether there is a builder for the cargo at hand. Whoever called sudo comes first: what the build leaves in
# their working copy is theirs then. A cargo that belongs to somebody never runs as root.
find_builder() {
    if [ -n "$caller" ] && try_builder "$caller"; then
        return 0
    fi
    if [ "$uid" != 0 ] || [ "$(owner_of "$cargo")" = 0 ]; then
        try_builder ''
    else
        owner=$(id -nu "$(owner_of "$cargo")" 2>/dev/null) && try_builder "$owner"
    fi
}

# Whether a cargo is there and new enough. Sets cargo, rustc and builder.
try_cargo() {
    cargo=$1
    rustc=${2:-}
    if ! [ -f "$cargo" ] || ! [ -x "$cargo" ]; then
        return 1
    fi
    if ! find_builder; then
        note "$cargo, which does not run or cannot read $here"
        return 1
    fi
    at_least "$version" "$wanted" || {
        note "$cargo, which is $version"
        return 1
    }
}

# Remembers what was found and why it will not do.
note() {
    tried="$tried
$1"
}

find_cargo() {
    for name in cargo $(numbered_cargos); do
        path=$(command -v "$name" 2>/dev/null) || continue
        number=${name#cargo}
        if try_cargo "$path" "${number:+$(command -v "rustc$number" 2>/dev/null || :)}"; then
            return 0
        fi
    done
    for home in "${HOME:-}" "$(home_of "$(id -nu 2>/dev/null)")" "${caller:+$(home_of "$caller")}"; do
        if [ -n "$home" ] && try_cargo "$home/.cargo/bin/cargo"; then
            return 0
        fi
    done
    return 1
}

# Ubuntu has newer Rust in packages with a number: cargo-1.85 beside cargo.
numbered_cargos() {
    for path in /usr/bin/cargo-1.*; do
        if [ -x "$path" ]; then
            printf '%s\n' "${path##*/}"
        fi
    done
}

# The version of a package that could be installed.
offered() {
    case $manager in
    apt-get) LC_ALL=C apt-cache policy "$1" 2>/dev/null | sed -n 's/^ *Candidate: *//p' ;;
    dnf) LC_ALL=C dnf -q info "$1" 2>/dev/null | sed -n 's/^Version *: *//p' | tail -n 1 ;;
    apk) apk search -x "$1" 2>/dev/null | sed -n "s/^$1-//p" | tail -n 1 ;;
    zypper) LC_ALL=C zypper -n info "$1" 2>/dev/null | sed -n 's/^Version *: *//p' ;;
    pacman) LC_ALL=C pacman -Si "$1" 2>/dev/null | sed -n 's/^Version *: *//p' ;;
    esac
}

package_is_new_enough() {
    version=$(offered "$1")
    case $version in
    '' | '(none)')
        note "$manager, which offers no $1"
        return 1
        ;;
    esac
    at_least "$version" "$wanted" || {
        note "the package $1 of $manager, which is $version"
        return 1
    }
}

# Installs the distribution's Rust where it is new enough. An old one is left where it is: in their archives.
packaged_rust() {
    manager=
    for name in apt-get dnf apk zypper pacman; do
        if command -v "$name" >/dev/null 2>&1; then
            manager=$name
            break
        fi
    done
    if [ -z "$manager" ]; then
        return 1
    fi
    if [ "$uid" != 0 ]; then
        note "$manager, which only root can install with"
        return 1
    fi
    package=cargo
    case $manager in
    apt-get)
        # Images come without the lists; what they offer is unknown then, not absent.
        case $(offered cargo) in
        '' | '(none)') apt-get update >&2 || : ;;
        esac
        ;;
    apk) apk update >&2 || : ;;
    pacman) package=rust ;;
    esac
    if ! package_is_new_enough "$package"; then
        [ "$manager" = apt-get ] || return 1
        package=
        for name in $(apt-cache search --names-only '^cargo-1\.[0-9]+$' 2>/dev/null | awk '{ print $1 }'); do
            if package_is_new_enough "$name"; then
                package="$name rustc${name#cargo}"
            fi
        done
        [ -n "$package" ] || return 1
    fi
    say "installing the packages that build it: $package"
    # shellcheck disable=SC2086  # one or two names, ours
    case $manager in
    apt-get) DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $package >&2 ;;
    dnf) dnf -y install $package >&2 ;;
    apk) apk add $package >&2 ;;
    zypper) zypper -n install $package >&2 ;;
    pacman) pacman -S --noconfirm --needed $package >&2 ;;
    esac
}

build() {
    wanted=$(sed -n 's/^rust-version *= *"\([0-9.]*\)".*/\1/p' "$here/Cargo.toml")
    [ -n "$wanted" ] || die "$here/Cargo.toml names no rust-version" 'is this a clone of runner-prep, and a whole one?'
    caller=${SUDO_USER:-${DOAS_USER:-}}
    if [ "$uid" != 0 ] || [ "$caller" = root ] || ! id -u "$caller" >/dev/null 2>&1; then
        caller=
    fi
    if ! find_cargo; then
        if ! { packaged_rust && find_cargo; }; then
            say "error: no Rust $wanted or newer to build the program with"
            {
                printf '  looked for cargo in PATH, in ~/.cargo/bin and among the packages of the distribution\n'
                printf '%s\n' "$tried" | sort -u | sed -n 's/^./  found: &/p'
                printf '  %s\n' 'what helps, any one of:' \
                    '- unpack a release archive: it has the built program beside install.sh' \
                    '- install Rust with rustup (https://rustup.rs), as root or as the user who calls sudo, and run this again' \
                    '- on another machine of this kind: cargo build --release --locked; then copy target/release/runner-prep' \
                    "  to $here/ and run this again"
            } >&2
            exit 2
        fi
    fi

    target=$here/target
    # Somebody else's working copy: no place for root's files, and perhaps none that the builder can write to.
    foreign=no
    if [ "$uid" = 0 ] && [ -z "$builder" ]; then
        [ "$(owner_of "$here")" = 0 ] || foreign=yes
    elif ! as_builder test -w "$here" || { [ -e "$target" ] && ! as_builder test -w "$target"; }; then
        foreign=yes
    fi
    if [ "$foreign" = yes ]; then
        scratch=$(mktemp -d) || die 'no temporary directory to build in'
        if [ -n "$builder" ]; then
            chown "$builder" "$scratch"
        fi
        target=$scratch
    fi
    say "building with $cargo $version${builder:+ as $builder}"
    if ! (cd "$here" && as_builder "$cargo" build --release --locked --target-dir "$target") >&2; then
        die "the build in $here failed, as cargo says above" 'nothing was installed'
    fi
    program=$target/release/runner-prep
    [ -f "$program" ] || die "cargo built no $program" \
        'perhaps a build.target in a cargo configuration moves it: copy the program beside install.sh and run this again'
}

# --- installing ---------------------------------------------------------------------------------------------

# Whether FILE is what we would install: the bytes of SOURCE, with MODE as `ls` shows it, and ours.
is_installed() {
    [ -f "$2" ] && [ ! -L "$2" ] && same_bytes "$1" "$2" && [ "$(mode_of "$2")" = "$3" ] && [ "$(owner_of "$2")" = "$uid" ]
}

# begin_file SOURCE FILE MODE: a copy beside FILE, with owner and mode, in $stage.
begin_file() {
    if [ -d "$2" ]; then
        die "$2 is a directory" 'move it away and run this again'
    fi
    directory=${2%/*}
    mkdir -p -- "$directory" || die "cannot make the directory $directory" "$needs_root"
    stage=$(mktemp "$directory/.runner-prep.XXXXXX") || die "cannot write in $directory" "$needs_root"
    cp -- "$1" "$stage" || die "cannot copy $1 to $directory" "$2 is as it was"
    chmod "$3" "$stage"
    if [ "$uid" = 0 ]; then
        # A setgid directory, as /usr/local/bin is on some systems, would give it another group.
        chown 0:0 "$stage"
    fi
}

# end_file FILE: gives the copy its name.
end_file() {
    # On the disk before it has its name: after a power cut there is the old file or the new one, whole.
    sync "$stage" 2>/dev/null || sync
    mv -f -- "$stage" "$1" || die "cannot replace $1" 'the former one is still there'
    stage=
    changed=yes
    say "installed $1"
}

install_program() {
    if is_installed "$program" "$installed" -rwxr-xr-x; then
        return
    fi
    begin_file "$program" "$installed" 0755
    # What goes into a package may be for another kind of machine.
    if [ -z "$DESTDIR" ] && ! "$stage" --version >/dev/null; then
        die "$program does not run on this machine ($(uname -s -m))" 'take the archive made for it, or build it here'
    fi
    end_file "$installed"
}

install_directory() {
    if [ -d "$profiles" ]; then
        return
    fi
    if ! can_write "$profiles"; then
        [ "$uid" != 0 ] || die "cannot make the directory $profiles" 'a file is in the way, or the file system is read-only'
        say "left out $profiles, which needs root; a profile of your own is then named by its path"
        return
    fi
    mkdir -p -- "$profiles" || die "cannot make the directory $profiles"
    changed=yes
    say "made $profiles for profiles of your own"
}

# --- the timer ----------------------------------------------------------------------------------------------

# unit ACTION KIND: the text of runner-prep-ACTION@.KIND. What stands after the @ is the profile.
unit() {
    case $2 in
    timer)
        cat <<EOF
[Unit]
Description=runner-prep $1 with profile %i, every hour

[Timer]
OnCalendar=hourly
# Not all hosts of a fleet at once, and after a pause what was missed.
RandomizedDelaySec=15min
Persistent=yes

[Install]
WantedBy=timers.target
EOF
        return
        ;;
    esac
    cat <<EOF
[Unit]
Description=runner-prep $1 with profile %i
Documentation=man:runner-prep(1)
After=nss-user-lookup.target

[Service]
Type=oneshot
ExecStart=${PREFIX%/}/bin/runner-prep $1 --profile %i
# 3: nothing is wrong, but something waits for a person; the journal says what. 1 (the host differs) and 2 (an
# error) make the unit fail.
SuccessExitStatus=3
TimeoutStartSec=10min
UMask=0077

NoNewPrivileges=yes
IPAddressDeny=any
KeyringMode=private
LockPersonality=yes
MemoryDenyWriteExecute=yes
PrivateDevices=yes
PrivateNetwork=yes
PrivateTmp=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RestrictAddressFamilies=AF_UNIX AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
EOF
    case $1 in
    check)
        cat <<'EOF'
# It reads as root, becomes the account before it looks at its home, and asks sudo what the account may do.
CapabilityBoundingSet=CAP_DAC_READ_SEARCH CAP_SETGID CAP_SETUID
ProtectHome=read-only
ProtectSystem=strict
EOF
        ;;
    apply)
        cat <<'EOF'
# It makes accounts and files for others, takes a lease on config.toml, and looks who else sees that file.
CapabilityBoundingSet=CAP_CHOWN CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER CAP_FSETID CAP_KILL CAP_LEASE
CapabilityBoundingSet=CAP_LINUX_IMMUTABLE CAP_SETGID CAP_SETUID CAP_SYS_PTRACE
# All may be wanted of it but programs; the entry point of a deployment lies in /usr/local.
ProtectSystem=yes
ReadWritePaths=-/usr/local
EOF
        ;;
    esac
}

# The names of the units, without their kind.
actions() {
    case $timer in
    apply) echo check apply ;;
    *) echo check ;;
    esac
}

install_timer() {
    text=$(mktemp) || die 'no temporary file for a unit'
    for action in $(actions); do
        for kind in service timer; do
            file=$units/runner-prep-$action@.$kind
            unit "$action" "$kind" >"$text"
            if ! is_installed "$text" "$file" -rw-r--r--; then
                begin_file "$text" "$file" 0644
                end_file "$file"
                reload=yes
            fi
        done
    done
    if [ -n "$running" ] && [ "$reload" = yes ]; then
        systemctl daemon-reload >&2 || die 'systemd does not read its units again' 'as it says above'
    fi
    if [ -z "$profile" ]; then
        say "to start it: systemctl enable --now runner-prep-$timer@PROFILE.timer"
        return
    fi
    name=runner-prep-$timer@$profile.timer
    if [ -L "$wants/$name" ] && { [ -z "$running" ] || systemctl -q is-active "$name"; }; then
        return
    fi
    # In an image there is nothing to start yet.
    systemctl ${DESTDIR:+--root="$DESTDIR"} -q enable ${running:+--now} "$name" >&2 ||
        die "cannot enable $name" 'as systemctl says above'
    changed=yes
    say "enabled $name"
}

remove_timer() {
    for action in check apply; do
        for file in "$wants/runner-prep-$action@"*.timer; do
            if [ -L "$file" ]; then
                if [ -n "$running" ]; then
                    systemctl -q stop "${file##*/}" >&2 || :
                fi
                rm -f -- "$file" || die "cannot remove $file" "$needs_root"
                changed=yes
                say "disabled ${file##*/}"
            fi
            # When it ran last.
            rm -f -- "$DESTDIR/var/lib/systemd/timers/stamp-${file##*/}"
        done
        for kind in service timer; do
            file=$units/runner-prep-$action@.$kind
            if [ -e "$file" ]; then
                rm -f -- "$file" || die "cannot remove $file" "$needs_root"
                reload=yes
                changed=yes
                say "removed $file"
            fi
        done
    done
    if [ -n "$running" ] && [ "$reload" = yes ]; then
        # A unit that failed would be listed for ever.
        systemctl -q stop 'runner-prep-*@*.timer' 'runner-prep-*@*.service' >&2 || :
        systemctl -q reset-failed 'runner-prep-*@*.service' >&2 || :
        systemctl daemon-reload >&2 || :
    fi
}

uninstall() {
    remove_timer
    if [ -e "$installed" ] || [ -L "$installed" ]; then
        rm -f -- "$installed" || die "cannot remove $installed" "$needs_root"
        changed=yes
        say "removed $installed"
    fi
    for directory in "$profiles" "${profiles%/*}"; do
        if [ ! -d "$directory" ]; then
            continue
        fi
        if [ -n "$(ls -A -- "$directory")" ]; then
            say "kept $directory with what you put there"
            break
        fi
        rmdir -- "$directory" || die "cannot remove $directory" "$needs_root"
        changed=yes
        say "removed the empty $directory"
    done
    say 'kept everything that runner-prep did: accounts, keys, sudoers rules, config.toml and its records'
}

# --- the arguments ------------------------------------------------------------------------------------------

# A closed stream would give its number to the next file that is opened.
(true >&2) || exec 2>/dev/null
(true <&0) 2>/dev/null || exec </dev/null
(true >&1) 2>/dev/null || exec >/dev/null

action=install
run=no
timer=
profile=
while [ $# -gt 0 ]; do
    case $1 in
    --uninstall) action=uninstall ;;
    --timer | --timer=check) timer=check ;;
    --timer=apply) timer=apply ;;
    --profile)
        [ $# -gt 1 ] || die '--profile needs a name' 'for example: ./install.sh --timer --profile dind'
        profile=$2
        shift
        ;;
    --profile=*) profile=${1#*=} ;;
    -h | --help)
        usage
        exit 0
        ;;
    --)
        run=yes
        shift
        break
        ;;
    *) die "unknown argument: $1" "arguments for runner-prep come after --: ./install.sh -- $*" 'all others: ./install.sh --help' ;;
    esac
    shift
done
# The program works on the machine it runs on, whatever tree it was put into.
if [ "$run" = yes ] && [ -n "${DESTDIR:-}" ]; then
    case " $*" in
    *' --root'*) ;;
    *) die "DESTDIR is for the program's files: what follows -- would change this machine" \
        "to prepare the tree: ./install.sh -- $* --root $DESTDIR" 'to prepare this machine: leave out DESTDIR' ;;
    esac
fi
if [ "$action" = uninstall ] && [ "$run" = yes ]; then
    die 'what is removed cannot be run' 'leave out --uninstall, or -- and what follows it'
fi
if [ "$action" = uninstall ] && [ -n "$timer" ]; then
    die 'the timer goes with the program' 'leave out --timer; to keep the program: systemctl disable --now runner-prep-check@PROFILE.timer'
fi
case $profile in
'') ;;
*[!a-z0-9-]* | -*) die "a timer is for a profile by its name, and this is none: $profile" \
    'put a profile of your own, also one that extends several, into /etc/runner-prep/profiles' ;;
*) [ -n "$timer" ] || die '--profile is for --timer' "to prepare the host: ./install.sh -- apply --profile $profile" ;;
esac

# Also where nobody set them: cloud-init has no HOME, and cron a short PATH.
PATH=${PATH:+$PATH:}/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH
unset CDPATH
umask 022
trap cleanup EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

DESTDIR=${DESTDIR:-}
PREFIX=${PREFIX:-/usr/local}
case $PREFIX in
/*) ;;
*) die "PREFIX is no absolute path: $PREFIX" ;;
esac
case $0 in
*/*) here=${0%/*} ;;
*) here=. ;;
esac
here=$(cd -- "${here:-/}" && pwd -P) || die "cannot find the directory of $0"
uid=$(id -u)
bin=$DESTDIR${PREFIX%/}/bin
installed=$bin/runner-prep
profiles=$DESTDIR/etc/runner-prep/profiles
# A package has its units apart from an administrator's.
case ${PREFIX%/} in
/usr) units=$DESTDIR/usr/lib/systemd/system ;;
*) units=$DESTDIR/etc/systemd/system ;;
esac
wants=$DESTDIR/etc/systemd/system/timers.target.wants
# Whether there is a systemd to talk to.
running=
if [ -z "$DESTDIR" ] && [ -d /run/systemd/system ] && command -v systemctl >/dev/null 2>&1; then
    running=yes
fi
reload=no
needs_root='run it as root (sudo ./install.sh), or choose a place of your own: PREFIX=~/.local ./install.sh'
changed=no

if [ "$action" = uninstall ]; then
    uninstall
    if [ "$changed" = no ]; then
        say "nothing to remove: there is no $installed"
    fi
    exit 0
fi

can_write "$bin" || die "cannot write in $bin" "$needs_root"
if [ -n "$timer" ]; then
    can_write "$units" || die "cannot write in $units" "$needs_root"
    if [ -n "$profile" ] && ! command -v systemctl >/dev/null 2>&1; then
        die 'this machine has no systemd' "run this from cron; it exits with 1 where the host differs: runner-prep check --profile $profile"
    fi
fi
if [ -f "$here/runner-prep" ]; then
    program=$here/runner-prep
elif [ -f "$here/Cargo.toml" ]; then
    build
else
    die "neither the program nor its source lies in $here" \
        'run install.sh from where the archive was unpacked, or from a clone of the repository'
fi
install_program
install_directory
if [ -n "$timer" ]; then
    install_timer
fi
if [ "$changed" = no ]; then
    say "nothing to do: $installed is this version already"
fi

if [ "$run" = yes ]; then
    cleanup
    trap - EXIT
    exec "$installed" "$@"
fi
