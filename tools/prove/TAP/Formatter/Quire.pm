package TAP::Formatter::Quire;

# prove's own console output, and one last line for machines and hurried humans: "N passed, N failed". A test file that broke without a failed point
# (it died, or its plan does not hold) counts as one failure.

use strict;
use warnings;
use base 'TAP::Formatter::Console';

sub summary {
    my ( $self, $results, $interrupted ) = @_;
    $self->SUPER::summary( $results, $interrupted );
    my $failed = $results->failed;
    for my $parser ( $results->parsers ) {
        $failed++ if !$parser->failed && ( $parser->parse_errors || $parser->exit || $parser->wait );
    }
    $failed++ if $interrupted && !$failed;
    printf "%d passed, %d failed\n", scalar $results->passed, $failed;
}

1;
