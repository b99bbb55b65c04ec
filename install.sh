#!/bin/sh
# Installs runner-prep:
#   sudo ./install.sh                               install
#   sudo ./install.sh -- apply --profile dind       install, then run that
#   sudo ./install.sh --timer --profile dind        install, and look every hour
#   sudo ./install.sh --uninstall                   remove it; what it did stays
# The program is the `runner-prep` beside this script (a release archive), else
# it is built with the cargo in PATH, in ~/.cargo/bin of root or of whoever calls
# sudo, or of the distribution. What a host or a build needs and lacks is named
# first, and installed with apt-get, dnf, zypper, apk or pacman.
#   --no-packages    install no packages: stop, and name the command for it
#   --timer          install systemd units that run `check`, which only reads
#   --timer=apply    install those that run `apply` as well
#   --profile NAME   with --timer: enable and start the timer for this profile
# Environment: PREFIX, where to install (default /usr/local), and DESTDIR, put
# before every path, to make a package (default empty).
# Exit code: the program's after `--`; else 0, or 2 when something went wrong.

# Standard output belongs to the program that runs after `--`: what this script says goes to standard error.
# shellcheck disable=SC2012  # of ls, only the fields before the name are read
# shellcheck disable=SC2086  # lists of words, made here
# shellcheck disable=SC2015  # A && B || C: where B fails, C is meant as well
set -eu
have() { command -v "$1" >/dev/null 2>&1; }
say() { printf '%s\n' "install.sh: $*" >&2; }
# die WHAT [LINE...]: the lines say why, and what to do.
die() {
    say "error: $1" && shift
    [ $# = 0 ] || printf '%s\n' "$@" | sed 's/^/  /' >&2
    exit 2
}

# Nothing of ours stays behind, however we end: neither files without their name nor directories made for them.
cleanup() {
    while read -r stage && read -r file; do rm -f -- "$stage"; done <"$scratch/staged"
    sort -r "$scratch/made" | while read -r directory; do rmdir -- "$directory" 2>/dev/null || :; done
    rm -rf -- "$scratch"
}

# What kind of file it is, its mode and its owner. `stat` has other options everywhere; `ls` has not.
look() { ls -ldn -- "$1" 2>/dev/null | awk 'NR == 1 { print substr($1, 1, 10), $3 }'; }
home_of() { { getent passwd "$1" 2>/dev/null || grep "^$1:" /etc/passwd; } | cut -d : -f 6; }
# at_least HAVE WANT: whether one version is not older than another. The epoch of a package does not count.
at_least() { printf '%s\n' "${2#*:}" "${1#*:}" | sort -V -c 2>/dev/null; }

# Whether a directory that may not be there yet can be made and written to.
can_write() {
    directory=$1
    until [ -e "${directory:=/}" ] || [ -L "$directory" ]; do
        [ "${directory%/*}" != "$directory" ] && directory=${directory%/*} || directory=.
    done
    [ -d "$directory" ] && [ -w "$directory" ]
}

# --- building -----------------------------------------------------------------------------------------------
# Runs a command as the builder, in an environment in which their own Rust finds itself; root's settings say nothing.
as_builder() {
    set -- env PATH="${cargo%/*}:$PATH" ${rustc:+"RUSTC=$rustc"} "$@"
    [ -z "$builder" ] || set -- env -u CARGO_HOME -u RUSTUP_HOME HOME="$(home_of "$builder")" "$@"
    if [ -z "$builder" ]; then "$@"
    elif have runuser; then runuser -u "$builder" -- "$@"
    else "$(have sudo && echo sudo || echo doas)" -n -u "$builder" -- "$@"; fi
}

# Remembers what was found and why it will not do.
note() { tried=$(printf '%s\n' "$tried" "found: $1"); }
# try_cargo CARGO [RUSTC]: whether it is new enough, and who builds with it. Sets cargo, rustc and builder.
try_cargo() {
    [ -f "$1" ] && [ -x "$1" ] || return 1
    cargo=$1 rustc=${2:-}
    # Whoever called sudo builds, then the clone stays theirs. A cargo that is somebody's never runs as root, nor by a link.
    owner=$({ ls -ldn -- "$1" && ls -ldnL -- "$1"; } 2>/dev/null | awk '$3 { print $3; exit }')
    [ "$uid" = 0 ] && [ -n "$owner" ] && set -- $caller "$(id -nu "$owner" 2>/dev/null || echo "uid $owner")" || set -- $caller ''
    for builder; do
        # What the builder cannot read, they cannot build.
        as_builder test -r "$here/Cargo.toml" 2>/dev/null || continue
        version=$(cd "$here" && as_builder "$cargo" --version 2>/dev/null) || continue
        version=${version#cargo }
        at_least "$version" "$wanted" && return
        note "$cargo, which is ${version%% *}"
        return 1
    done
    note "$cargo, which does not run or cannot read $here"
    return 1
}

# Ubuntu has newer Rust in packages with a number: cargo-1.85 beside cargo.
find_cargo() {
    for path in "$(command -v cargo)" /usr/bin/cargo-[0-9]* "${HOME:-}/.cargo/bin/cargo" \
        "$(home_of "$(id -nu)")/.cargo/bin/cargo" ${caller:+"$(home_of "$caller")/.cargo/bin/cargo"}; do
        number=${path#/usr/bin/cargo}
        [ "$number" != "$path" ] || number=
        try_cargo "$path" "${number:+$(command -v "rustc$number")}" && return
    done
    return 1
}

build() {
    target=$here/target own=$(look "$here")
    # Somebody else's working copy: no place for root's files, and perhaps none that the builder can write to.
    if [ "$uid$builder" = 0 ] && [ "${own#* }" != 0 ] || ! as_builder test -w "$here" ||
        { [ -e "$target" ] && ! as_builder test -w "$target"; }; then
        target=$scratch/target
        mkdir -- "$target" && chmod 0711 "$scratch"
        [ -z "$builder" ] || chown "$builder" "$target"
    fi
    say "building with $cargo ${version%% *}${builder:+ as $builder}"
    (cd "$here" && as_builder "$cargo" build --release --locked --target-dir "$target") >&2 ||
        die "the build in $here failed, as cargo says above" 'nothing was installed'
    program=$target/release/runner-prep
    [ -f "$program" ] || die "cargo built no $program" 'perhaps a build.target in a cargo configuration moves it'
}

# --- what is missing ----------------------------------------------------------------------------------------
# The version of a package that apt could install.
offered() { LC_ALL=C apt-cache policy "$1" 2>/dev/null | sed -n 's/^ *Candidate: *\([^(]\)/\1/p'; }
# What the package database has as cargo, by that name or because a package provides it: NAME VERSION a line.
cargos() (
    export LC_ALL=C
    case $manager in
    apt-get) { echo cargo; apt-cache showpkg cargo | sed '1,/^Reverse Provides/d'; apt-cache search --names-only '^cargo-?[0-9][0-9.]*$'; } |
        awk '{ print $1 }' | sort -u | while read -r name; do echo "$name $(offered "$name")"; done ;;
    dnf) dnf -q repoquery --whatprovides cargo --qf '%{name} %{version}\n' ;;
    zypper) zypper -n search -s --provides --match-exact cargo | awk -F ' *[|] *' '$4 ~ /^[0-9]/ { print $2, $4 }' ;;
    apk) apk search -x cargo | sed -n 's/-\([0-9]\)/ \1/p' ;;
    pacman) pacman -Si rust | sed -n 's/^Version *:/rust/p' ;;
    esac 2>/dev/null
)

# Adds cargo to the packages where it is new enough, else the newest that there is, and the rustc that goes with it.
add_cargo() {
    found='' newest=$wanted && { cargos >"$scratch/cargos" || :; }
    while read -r name version; do
        if [ -z "$version" ]; then
            note "$manager, which offers no $name"
        elif ! at_least "$version" "$wanted"; then
            note "the package $name of $manager, which is $version"
        elif [ "$found" != cargo ] && at_least "$version" "$newest"; then
            found=$name newest=$version
        fi
    done <"$scratch/cargos"
    case $manager:$found in
    *:) return 1 ;;
    apt-get:cargo-*) [ -z "$(offered "rustc${found#cargo}")" ] || found="$found rustc${found#cargo}" ;;
    esac
    packages="$packages $found"
}

# Images come without apt's lists: what it offers is unknown then, not absent. Who may not install has lists apart.
refresh() {
    refreshed=yes
    [ "$installs" = yes ] || mkdir -p -- "$scratch/lists/partial" "$scratch/cache/archives/partial"
    [ "$installs" = yes ] || echo "Dir::State::Lists \"$scratch/lists\"; Dir::Cache \"$scratch/cache\"; APT::Sandbox::User \"root\";" >"$APT_CONFIG"
    apt-get update >&2 </dev/null || :
}

install_packages() { DEBIAN_FRONTEND=noninteractive $install$packages >&2 </dev/null; }
no_rust() {
    die "no Rust $wanted or newer in PATH, in ~/.cargo/bin or among the packages of the distribution" \
        "$(printf '%s\n' "$tried" | sort -u | grep .)" "$1; what helps, any one of:" \
        '- a release package (.deb, .rpm), or an unpacked release archive: it has the built program beside install.sh' \
        '- install Rust with rustup (https://rustup.rs), as root or as the user who calls sudo, and run this again' \
        "- on another machine of this kind: cargo build --release --locked; copy target/release/runner-prep to $here/"
}
# Finds all that is missing before anything is changed, and installs it in one call.
provide() {
    missing='' packages='' refreshed=no
    [ "$prepares" = no ] || for tool in sudo rsync git ssh useradd; do have "$tool" || missing="$missing $tool"; done
    if [ -z "$program" ]; then
        have cc || missing="$missing cc"
        ls /usr/share/ca-certificates /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/ca-bundle.pem /etc/ssl/cert.pem \
            "${CARGO_HTTP_CAINFO:-/etc/ssl/certs/ca-certificates.crt}" >"$scratch/found" 2>/dev/null || [ -s "$scratch/found" ] ||
            missing="$missing ca-certificates"
        find_cargo || missing="$missing cargo"
    fi
    [ -n "$missing" ] || return 0
    while IFS=: read -r manager install ssh useradd cc; do ! have "$manager" || break; done <<EOF
apt-get:apt-get install -y --no-install-recommends:openssh-client:passwd:gcc libc6-dev
dnf:dnf -y install:openssh-clients:shadow-utils:gcc
zypper:zypper -n install:openssh-clients:shadow:gcc
apk:apk --update-cache add:openssh-client:shadow:gcc musl-dev
pacman:pacman -Sy --noconfirm --needed:openssh:shadow:gcc
EOF
    [ -n "$manager" ] || case $missing in
    *cargo) no_rust "missing:$missing, and no package manager is known here" ;;
    *) die "missing:$missing" 'no package manager that is known here: install them, and run this again' ;;
    esac
    [ "$installs" = yes ] || { export APT_CONFIG="$scratch/apt" && echo 'Dir::Cache::pkgcache ""; Dir::Cache::srcpkgcache "";' >"$APT_CONFIG"; }
    for tool in $missing; do
        case $tool in ssh) name=$ssh ;; useradd) name=$useradd ;; cc) name=$cc ;; *) name=$tool ;; esac
        [ "$tool" = cargo ] || packages="$packages $name"
        [ "$manager:$refreshed" != apt-get:no ] || [ -n "$(offered "${name%% *}")" ] || refresh
    done
    case $missing in *cargo) add_cargo || no_rust 'nothing was changed' ;; esac
    line=$install$packages
    if [ "$installs" = no ]; then
        [ "$refreshed" = no ] || line="apt-get update && $line"
        [ "$uid" = 0 ] || { have sudo && line=$(echo "$line" | sed -E 's/(^|&& )/\1sudo /g') || line="su -c '$line'"; }
        die "missing:$missing" "nothing was changed; what installs all of it: $line" 'then run this again'
    fi
    say "missing:$missing; installing the packages: $line"
    install_packages || { [ "$manager:$refreshed" = apt-get:no ] && refresh && install_packages; } ||
        die "$manager cannot install$packages" "why, it says above$(can_write /usr/bin || echo ': /usr is read-only')" \
            "runner-prep was not installed; put that right, and run this again${wanted:+, or take a release archive or package}"
    [ -n "$program" ] || find_cargo || no_rust 'packages were installed'
}

# --- installing ---------------------------------------------------------------------------------------------
# All that is written outside of the temporary directory goes through make_directory, place and discard.
# inside DIRECTORY: ends where root's files would get out of the tree DESTDIR, or others can exchange a part of the way.
inside() {
    [ -n "$DESTDIR" ] || return 0
    path=$1 top=$DESTDIR
    while [ -n "$path" ]; do
        at=$(look "$path")
        case $at in
        l*) die "$path is a link, and a tree may be anybody's: none is followed" \
            'move it away and make a directory there, or name the one that it leads to in DESTDIR or PREFIX' ;;
        ????????w[!tT]*) die "everybody can write in $path" "chmod o-w $path" ;;
        esac
        case " 0 $uid ${SUDO_UID:-0}  " in *" ${at#* } "*) ;; *) die "$path belongs to uid ${at#* }, who can lead root's files elsewhere" \
            'take a tree of your own, or let its owner run this' ;; esac
        # From the tree on its way from / on, whatever links of the machine lead there.
        [ "$path" != "$top" ] || { top=/ && path=$(cd -- "$path" 2>/dev/null && pwd -P) || return 0; }
        [ "$path" != / ] || return 0
        case $path in */*) path=${path%/*} ;; *) path= ;; esac
    done
}
make_directory() {
    [ -n "$1" ] && [ ! -d "$1" ] || return 0
    inside "${1%/*}"
    [ "${1%/*}" = "$1" ] || make_directory "${1%/*}"
    mkdir -- "$1" || die "cannot make the directory $1" 'nothing was installed' "$elsewhere"
    printf '%s\n' "$1" >>"$scratch/made"
}

# place SOURCE FILE: lays a copy beside FILE, whose name it gets from commit, when there is space for everything.
# One that has these bytes, its mode and our owner already is left alone.
place() {
    mode=0644 wanted_look="-rw-r--r-- $uid"
    [ "$2" != "$installed" ] || mode=0755 wanted_look="-rwxr-xr-x $uid"
    [ "$(look "$2")" = "$wanted_look" ] && [ "$(sha256sum <"$1")" = "$(sha256sum <"$2")" ] && return
    [ ! -d "$2" ] || die "$2 is a directory" 'move it away and run this again'
    make_directory "${2%/*}"
    inside "${2%/*}"
    stage=$(mktemp "${2%/*}/.runner-prep.XXXXXX") || die "cannot write in ${2%/*}" 'nothing was installed' "$elsewhere"
    printf '%s\n' "$stage" "$2" >>"$scratch/staged"
    cp -- "$1" "$stage" || die "cannot copy $1 to ${2%/*}" 'as it says above; nothing was installed'
    chmod "$mode" "$stage"
    # A setgid directory, as /usr/local/bin is on some systems, would give it another group.
    [ "$uid" != 0 ] || chown 0:0 "$stage"
    # On the disk before it has its name: after a power cut there is the old file or the new one, whole.
    sync "$stage" 2>/dev/null || sync
}

# Says which file was installed or removed; the many small ones are counted.
tell() {
    changed=yes
    case $2 in
    "$share"/*) documents=$((documents + 1)) ;;
    "$wants"/*) say "disabled ${2##*/}" ;;
    *) say "$1 $2" ;;
    esac
    [ "${2%/*}" != "$units" ] || reload=yes
}

# Gives the copies their names, in the order in which they were laid out: the program first.
commit() {
    trap '' HUP INT TERM # all of them or none
    while read -r stage && read -r file; do
        inside "${file%/*}"
        mv -f -- "$stage" "$file" || die "cannot replace $file" 'the former one is still there'
        tell installed "$file"
    done <"$scratch/staged"
    [ "$documents" = 0 ] || say "installed $documents manual pages and completions below $share"
    ! grep -qxF "$profiles" "$scratch/made" || { say "made $profiles for profiles of your own" && changed=yes; }
    : >"$scratch/staged" && : >"$scratch/made" && trap 'exit 130' HUP INT TERM
}

# discard FILE: removes it; false where it is not.
discard() {
    [ -e "$1" ] || [ -L "$1" ] || return 1
    inside "${1%/*}"
    rm -f -- "$1" || die "cannot remove $1" "$elsewhere"
    tell removed "$1"
}

# Ends where the program does not start here, and says why.
must_start() {
    why=$("$1" --version 2>&1 </dev/null) && return
    libc=$(printf '%s\n' "$why" | sed -n "s/.*\`GLIBC_\([0-9.]*\)' not found.*/\1/p" | sort -V | tail -n 1)
    [ -z "$libc" ] || why="it needs the C library glibc $libc or newer, and this machine has $(getconf GNU_LIBC_VERSION)"
    die "$program does not run on this machine ($(uname -s -m))" "$why" 'nothing was installed' \
        'take the archive made for it, or run install.sh in a clone, which builds the program here'
}

# Out of the program itself, as in the packages.
place_documents() {
    candidate=$stage
    can_write "$share" && pages=$("$candidate" man --list 2>/dev/null </dev/null) ||
        { say "left out manual pages and completions: $share cannot be written, or they cannot be made here" && return; }
    for name in '' $pages; do
        page=runner-prep${name:+-$name}.1
        "$candidate" man $name >"$scratch/$page" </dev/null && gzip -9n "$scratch/$page" || die "cannot make the manual page $page"
        place "$scratch/$page.gz" "$share/man/man1/$page.gz"
    done
    for name in $completions; do
        "$candidate" completions "${name%%:*}" >"$scratch/text" </dev/null || die "cannot make the completions for ${name%%:*}"
        place "$scratch/text" "$share/${name#*:}"
    done
}

place_units() {
    prefix=$(printf '%s' "${PREFIX%/}" | sed 's/%/%%/g; s/[\\|&]/\\&/g')
    set -- check@.service check@.timer
    [ "$timer" = check ] || set -- "$@" apply@.service apply@.timer
    for unit; do
        sed "s|^ExecStart=/usr/local/|ExecStart=$prefix/|" "$here/.package/systemd/runner-prep-$unit" >"$scratch/unit" ||
            die 'a unit is missing' 'run install.sh in a clone, or in the whole unpacked archive'
        place "$scratch/unit" "$units/runner-prep-$unit"
    done
}

start_timer() {
    [ "$running$reload" != yesyes ] || systemctl daemon-reload >&2 || die 'systemd does not read its units again'
    name=runner-prep-$timer@${profile:-PROFILE}.timer now=--now
    [ -n "$profile" ] || { say "to start it: systemctl enable --now $name" && return; }
    [ -L "$wants/$name" ] && { [ "$running" = no ] || systemctl -q is-active "$name"; } && return
    [ "$running" = yes ] || now='' # in an image there is nothing to start yet
    systemctl ${DESTDIR:+--root="$DESTDIR"} -q enable $now "$name" >&2 || die "cannot enable $name" 'why, it says above'
    say "enabled $name"
}

uninstall() {
    for file in "$wants"/runner-prep-check@*.timer "$wants"/runner-prep-apply@*.timer; do
        [ "$running" = no ] || [ ! -L "$file" ] || systemctl -q stop "${file##*/}" >&2 || :
        discard "$file" || :
        inside "$DESTDIR/var/lib/systemd/timers" # has when it ran last
        rm -f -- "$DESTDIR/var/lib/systemd/timers/stamp-${file##*/}"
    done
    for file in "$installed" "$units"/runner-prep-check@.* "$units"/runner-prep-apply@.* "$share"/man/man1/runner-prep[.-]* \
        "$share"/*/completions/runner-prep "$share"/zsh/*/_runner-prep "$share"/fish/*/runner-prep.fish; do
        [ -d "$file" ] || ! discard "$file" || [ "${file#"$share"}" = "$file" ] || rmdir -- "${file%/*}" 2>/dev/null || :
    done
    [ "$documents" = 0 ] || say "removed $documents manual pages and completions below $share"
    if [ "$running$reload" = yesyes ]; then
        systemctl -q stop 'runner-prep-*@*.timer' 'runner-prep-*@*.service' >&2 || :
        systemctl -q reset-failed 'runner-prep-*@*.service' >&2 || : # it would be listed for ever
        systemctl daemon-reload >&2 || :
    fi
    for directory in "$profiles" "${profiles%/*}"; do
        [ -d "$directory" ] || continue
        inside "$directory"
        [ -z "$(ls -A -- "$directory")" ] || { say "kept $directory with what you put there" && break; }
        rmdir -- "$directory" && say "removed the empty $directory" || die "cannot remove $directory" "$elsewhere"
    done
    say 'kept everything that runner-prep did: accounts, keys, sudoers rules, config.toml and its records'
    [ "$changed" = yes ] || say "nothing to remove: there is no $installed"
}

# --- the arguments ------------------------------------------------------------------------------------------
# A closed stream would give its number to the next file that is opened.
(true >&2) || exec 2>/dev/null
(true <&0) 2>/dev/null || exec </dev/null
(true >&1) 2>/dev/null || exec >/dev/null
action=install run=no installs=yes timer='' profile=''
while [ $# -gt 0 ]; do
    case $1 in
    --uninstall) action=uninstall ;;
    --no-packages) installs=no ;;
    --timer | --timer=check) timer=check ;;
    --timer=apply) timer=apply ;;
    --profile=*) profile=${1#*=} ;;
    --profile) [ $# -gt 1 ] || die '--profile needs a name' 'for example: ./install.sh --timer --profile dind' && profile=$2 && shift ;;
    -h | --help) sed -n '2,/^$/s/^# \{0,1\}//p' "$0" && exit ;;
    --) run=yes && shift && break ;;
    *) die "unknown argument: $1" "arguments for runner-prep come after --: ./install.sh -- $*" 'all others: ./install.sh --help' ;;
    esac
    shift
done
DESTDIR=${DESTDIR:-} PREFIX=${PREFIX:-/usr/local} uid=$(id -u)
prepares=no # whether this machine is the host: neither another tree, nor a place in somebody's home
[ "$uid" != 0 ] || [ -n "$DESTDIR" ] || prepares=yes
[ "$uid" = 0 ] || installs=no # package managers are root's
case "$run $*" in
yes*' --root'*) prepares=no ;;
yes*) [ -z "$DESTDIR" ] || die "DESTDIR is for the program's files: what follows -- would change this machine" \
    "to prepare the tree: ./install.sh -- $* --root $DESTDIR" 'to prepare this machine: leave out DESTDIR' ;;
esac
case $action:$run:$timer in
uninstall:yes:*) die 'what is removed cannot be run' 'leave out --uninstall, or -- and what follows it' ;;
uninstall:no:?*) die 'the timer goes with the program' 'leave out --timer, or see: systemctl disable --now' ;;
esac
case $profile in
'') ;;
*[!a-z0-9-]* | -*) die "a timer is for a profile by its name, and this is none: $profile" \
    'put a profile of your own, also one that extends several, into /etc/runner-prep/profiles' ;;
*) [ -n "$timer" ] || die '--profile is for --timer' "to prepare the host: ./install.sh -- apply --profile $profile" ;;
esac
case $PREFIX in /*) ;; *) die "PREFIX is not an absolute path: $PREFIX" ;; esac
# Also where nobody set them: cloud-init has no HOME, and cron a short PATH.
export PATH="${PATH:+$PATH:}/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
unset CDPATH && umask 022
case $0 in */*) here=${0%/*} ;; *) here=. ;; esac
here=$(cd -- "${here:-/}" && pwd -P) || die "cannot find the directory of $0"
caller=${SUDO_USER:-${DOAS_USER:-}}
[ "$uid" = 0 ] && [ "$caller" != root ] && id -u "$caller" >/dev/null 2>&1 || caller='' # a person who called sudo or doas
bin=$DESTDIR${PREFIX%/}/bin installed=$DESTDIR${PREFIX%/}/bin/runner-prep share=$DESTDIR${PREFIX%/}/share
profiles=$DESTDIR/etc/runner-prep/profiles
completions='bash:bash-completion/completions/runner-prep zsh:zsh/site-functions/_runner-prep
fish:fish/vendor_completions.d/runner-prep.fish'
# A package has its units apart from an administrator's.
units=$DESTDIR/etc/systemd/system wants=$DESTDIR/etc/systemd/system/timers.target.wants
[ "${PREFIX%/}" != /usr ] || units=$DESTDIR/usr/lib/systemd/system
running=no reload=no changed=no documents=0 tried='' program='' wanted=''
[ -n "$DESTDIR" ] || [ ! -d /run/systemd/system ] || ! have systemctl || running=yes # a systemd to talk to
elsewhere='run it as root (sudo ./install.sh), or choose a place of your own: PREFIX=~/.local ./install.sh'
[ "$uid" != 0 ] || elsewhere='is the file system read-only, or a file in the way? another place: PREFIX=/opt/runner-prep ./install.sh'
[ "$action" = install ] || { uninstall && exit; }

can_write "$bin" || die "cannot write in $bin" "$elsewhere"
[ -z "$timer" ] || can_write "$units" || die "cannot write in $units" "$elsewhere"
[ -z "$profile" ] || have systemctl || die 'this machine has no systemd' "run this from cron: runner-prep check --profile $profile"
trap cleanup EXIT && trap 'exit 130' HUP INT TERM
scratch=$(mktemp -d) && : >"$scratch/staged" && : >"$scratch/made" || die 'cannot make a temporary directory' 'nothing was installed'
if [ -f "$here/runner-prep" ]; then
    program=$here/runner-prep
    # What goes into a package may be for another kind of machine.
    [ -n "$DESTDIR" ] || [ ! -x "$program" ] || must_start "$program"
else
    [ -f "$here/Cargo.toml" ] || die "neither the program nor its source lies in $here" 'run install.sh in an unpacked archive or a clone'
    wanted=$(sed -n 's/^rust-version *= *"\([0-9.]*\)".*/\1/p' "$here/Cargo.toml")
    [ -n "$wanted" ] || die "$here/Cargo.toml names no rust-version" 'is this a whole clone of runner-prep?'
fi
provide
[ -n "$program" ] || build
place "$program" "$installed"
# The program waits for its name, or has it already.
read -r stage <"$scratch/staged" || stage=$installed
[ -n "$DESTDIR" ] || must_start "$stage"
place_documents
[ -z "$timer" ] || place_units
[ "$uid" != 0 ] && ! can_write "$profiles" || make_directory "$profiles"
commit
[ -d "$profiles" ] || say "left out $profiles, which needs root; a profile of your own is then named by its path"
[ "$changed" = yes ] || say "nothing to do: $installed is this version already"
[ -z "$timer" ] || start_timer
[ "$run" = no ] || { cleanup && trap - EXIT && exec "$installed" "$@"; }
