# Completions of runner-prep for bash. The program itself says what fits; it is the one that PATH finds.

_runner_prep() {
    local line=${COMP_LINE:0:COMP_POINT} word prefix candidate
    local -a words said
    COMPREPLY=()
    # Bash takes words apart at characters such as `=` and `:`; the program wants them whole.
    read -ra words <<<"$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    word=${words[${#words[@]} - 1]}
    mapfile -t said < <(command runner-prep __complete -- "${words[@]}" 2>/dev/null)
    case ${said[0]-} in
        files) compopt -o default ;;
        directories) compopt -o dirnames ;;
        words)
            # And it replaces only what stands after the last of those.
            prefix=$word
            while [[ -n $prefix && $COMP_WORDBREAKS != *"${prefix: -1}"* ]]; do
                prefix=${prefix%?}
            done
            for candidate in "${said[@]:1}"; do
                candidate=${candidate%%$'\t'*}
                COMPREPLY+=("${candidate#"$prefix"}")
            done
            ;;
    esac
}

complete -F _runner_prep runner-prep
