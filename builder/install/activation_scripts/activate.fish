# Source this file in fish; the function "deactivate" takes everything back.

function _conda_pack_set
    if set -q $argv[1]
        set -gx _CONDA_PACK_OLD_$argv[1] $$argv[1]
    end
    set -gx $argv[1] $argv[2]
end

function _conda_pack_restore
    set -l old _CONDA_PACK_OLD_$argv[1]
    if set -q $old
        set -gx $argv[1] $$old
        set -e $old
    else
        set -e $argv[1]
    end
end

function _conda_pack_activate
    # In fish itself, "cd" in a substitution would move the shell.
    set -l env (sh -c 'CDPATH= cd -- "$1/.." && pwd' sh (dirname (status -f)))
    if test "$CONDA_PREFIX" = "$env"
        return 0
    end
    if set -q _CONDA_PACK_ACTIVE; and functions -q deactivate
        deactivate
    end
    @variables@
    _conda_pack_set CONDA_PREFIX $env
    set -gx _CONDA_PACK_ACTIVE (basename $env)
    set -gx PATH $env/bin $PATH
    if functions -q fish_prompt
        functions -c fish_prompt _conda_pack_old_prompt
        function fish_prompt
            # First, since it may depend on the status of what ran before.
            set -l prompt (_conda_pack_old_prompt)
            printf '(%s) ' $_CONDA_PACK_ACTIVE
            string join -- \n $prompt
        end
    end
    for script in $env/etc/conda/activate.d/*.fish
        source $script
    end
end

function deactivate -d 'Take back what activate.fish did'
    set -q _CONDA_PACK_ACTIVE; or return 0
    set -l scripts $CONDA_PREFIX/etc/conda/deactivate.d/*.fish
    for script in $scripts[-1..1]
        source $script
    end
    set -l kept
    for directory in $PATH
        test $directory = $CONDA_PREFIX/bin; or set -a kept $directory
    end
    set -gx PATH $kept
    if functions -q _conda_pack_old_prompt
        functions -e fish_prompt
        functions -c _conda_pack_old_prompt fish_prompt
        functions -e _conda_pack_old_prompt
    end
    set -e _CONDA_PACK_ACTIVE
    _conda_pack_restore CONDA_PREFIX
    @variables_to_restore@
end

_conda_pack_activate
