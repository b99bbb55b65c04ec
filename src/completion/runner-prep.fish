# Completions of runner-prep for fish. The program itself says what fits; it is the one that PATH finds.

function __runner_prep_complete
    set -l words (commandline --current-process --tokenize --cut-at-cursor)
    set -l word (commandline --current-token --cut-at-cursor)
    set -l said (command runner-prep __complete -- $words "$word" 2>/dev/null)
    switch "$said[1]"
        case files
            __fish_complete_path "$word"
        case directories
            __fish_complete_directories "$word" ""
        case words
            test (count $said) -gt 1; and printf '%s\n' $said[2..-1]
    end
end

complete --command runner-prep --no-files --arguments '(__runner_prep_complete)'
