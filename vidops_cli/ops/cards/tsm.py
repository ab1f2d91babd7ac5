"""TSM."""

from ..card import Card, Option

CARDS = (
    Card(
        name="tsm",
        cls="TemporalShift",
        title="Temporal shift module",
        paper="TSM: Temporal Shift Module for Efficient Video Understanding",
        venue="ICCV 2019",
        arxiv="1811.08383",
        slot="block_input",
        equation="y[t] = (x[t+1] | first C/fold_div channels, x[t-1] | next C/fold_div, x[t] | rest)",
        layer=(128, 8, 28, 28),
        options={
            "fold_div": Option("int", 8, "share of the channels moved each way is 1 / fold_div", least=2),
            "first": Option("str", "next", "the frame that the first share takes", ("next", "previous")),
            "padding": Option(
                "str", "zero", "what stands beyond the clip: zeros, or its other end", ("zero", "circular")
            ),
        },
        deviations=(
            "the released 'circulant' padding goes the opposite way of its 'zero': padding=circular keeps the "
            "direction; first=previous with it gives the released form. IntegralAction: fold_div=4, first=previous"
        ),
        status="equal to the released code",
    ),
)
