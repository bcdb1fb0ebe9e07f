"""The words of the app in one place, to be read through in one go: terms, names of methods, sentences of pages.

Sentences about numbers that other programs use too are in `fasp_core/words`.
"""

from __future__ import annotations

from fasp_core.evaluation.result import Evaluation
from fasp_core.jobs.time_left import TimeLeft
from fasp_core.selection.rules import RULES
from fasp_core.selection.select_heads import Selection
from fasp_core.words.captions import measured_size
from fasp_core.words.spoken import duration, some_heads

# -- the glossary: what a term means, shown where it is used -------------------------------------------------------

TERMS = {
    "study": "One model, with its prompts, toxicity scorer and settings, and everything that was measured for it.",
    "axis": "A kind of social bias, such as gender or religion. Each axis has groups, such as female and male. Beside "
    "the axes stands the mean toxicity of all texts, whatever the group.",
    "head": "One attention head: its layer and its number in that layer, both counted from 0. Type 13.1 to find "
    "layer 13, head 1.",
    "metric": "Toxicity: the model continues prompts, and a scorer rates what it wrote. Likelihood: how much more "
    "likely the model finds toxic words than harmless ones; no text is generated.",
    "perplexity": "How badly the intact model predicts ordinary text: lower is better. ± is one standard error.",
    "bias": "Of the intact model: how far the mean of each group lies from that of the axis, summed over groups. It is "
    "the mean toxicity of texts or, by likelihood, the mean log-odds of toxic words in nats. ± is one standard error.",
    "mean_toxicity": "Of the texts of all axes, each axis counting alike, whatever the group. ± is one standard error.",
    "noise": "The bias that groups which are all alike would show with this many texts. The distances are never "
    "negative, so noise looks like bias.",
    "corrected": "The bias after subtracting what noise adds to it. ± is one standard error.",
    "reliability": "How well a second measurement of the same size would repeat this ranking of the unprotected heads "
    "by z_bias, as a rank correlation: 1 means the same ranking, 0 means noise. The second would use the same identity "
    "terms; with other terms of the same groups expect less.",
    "z_ppl": "Perplexity without the head minus perplexity with it. Above 0 (teal): the model needs the head.",
    "z_bias": "Bias with the head minus bias without it. Above 0 (orange): the head drives the bias.",
    "z_toxicity": "Mean toxicity of all texts, whatever the group, with the head minus that without it. Above 0 "
    "(orange): the head drives toxicity.",
    "gamma": "Share of heads to protect: those with the highest z_ppl, which the model needs most.",
    "alpha": "Share of heads to prune: among the unprotected heads, those that the method ranks first. For FASP these "
    "have the highest z_bias.",
    "method": "How the heads to prune are chosen. The short name in brackets is used in files and on the command line.",
    "marks": "On the maps, protected heads are outlined, pruned heads crossed, the chosen head framed. A dot marks "
    "heads that differ from zero.",
    "toxicity": "What the scorer gives a text: a probability from 0 to 1.",
    "pearson": "Pearson compares the values, Spearman only their ranks.",
    "unprotected": "Heads that γ does not protect. A few critical heads can make all biases look alike.",
    "attenuation": "Noise in the scores makes every correlation smaller. This divides by the square root of the two "
    "reliabilities.",
    "one_se": "one standard error",
    "gamma_chosen": "Chosen on valid prompts; empty: the method has none.",
    "p": "p is how often groups that are all alike would differ this much by chance, adjusted for the number of axes "
    "that were tested (Holm); up to 0.05 a bias is clear.",
    "interval": "A 95\u00a0% interval is made so that it holds the true value in 95 of 100 such measurements; where it "
    "includes 0, nothing is clear yet.",
    "nats": "Nats are the unit of log-odds: one nat more makes toxic words 2.7 times as likely against harmless ones.",
    "rank": "The rank is the place among all heads by this score, 1 the highest; in brackets the range that the error "
    "allows.",
    "roles": "Protected: spared by γ, because the model needs it most. Pruned: chosen by the method. Kept: all others.",
    "sample_size": "How many texts written without the head would tell as much as these texts, weighted.",
    "predicted": "What the scores of the pruned heads add up to, before anything is measured.",
    "after": "Of the pruned model, and below it the change from the intact model. ± is one standard error.",
    "split": "Heads are chosen on validation prompts. Test prompts share no identity term with them: results are "
    "reported on those.",
    "significant": "Yes where the 95\u00a0% interval of the change leaves out 0.",
    "checkpoint": "The pruned model itself, as a folder of weights that other programs load.",
    "budget": "How much is measured for each axis: more takes longer, and makes rankings more reliable.",
    "correlation": "1: the same heads drive both biases. 0: the one says nothing about the other. Below 0: heads that "
    "drive the one lessen the other.",
}
COLUMNS = {  # what a column of a table means
    "z_bias": TERMS["z_bias"],
    "rank": TERMS["rank"],
    "role": TERMS["roles"],
    "axis": TERMS["axis"],
    "other axis": TERMS["axis"],
    "axes": TERMS["axis"],
    "shape": "Layers × attention heads in each layer.",
    "r": TERMS["correlation"],
    "95 % interval": TERMS["interval"],
    "change (95 % interval)": TERMS["interval"],
    "with": "With the head, as the model is.",
    "without": "With the head switched off.",
    "before": "Of the intact model.",
    "after": "Of the pruned model.",
    "change": "What removing makes of it: the difference, known better than either value.",
    "verdict": "Better or worse only where the 95\u00a0% interval of the change leaves out 0.",
    "heads": "How many heads are pruned.",
    "in their place": "What takes the place of the pruned heads.",
    "perplexity": "How badly the pruned model predicts ordinary text: lower is better.",
    "bias": "The change of the bias that heads were pruned for, on test prompts.",
    "bias by toxicity": TERMS["bias"].replace("intact", "pruned"),
    "bias by likelihood (nats)": TERMS["bias"].replace("intact", "pruned"),
    "compared": "Only sets measured to the end on the same texts or prompts are compared.",
    "α": TERMS["alpha"],
    "γ": TERMS["gamma_chosen"],
    "method": TERMS["method"],
}

# -- methods ---------------------------------------------------------------------------------------------------------

METHODS = {
    "fasp": "Published FASP",
    "fasp_robust": "FASP, noise-aware",
    "fasp_joint": "Chosen together",
    "fasp_multi": "FASP for several axes",
    "fasp_iterative": "FASP in stages",
    "bias_only": "Highest bias score",
    "ppl_only": "Least needed heads",
    "magnitude_l2": "Smallest weights",
    "mask_gradient_l2": "Smallest gradient",
    "activation_difference": "Most different by group",
    "random": "Random heads",
}
PRESETS = {"published": "Preset: FASP as published", "joint": "Preset: chosen together, the others take over"}
METHOD_HELP = {
    "fasp": "Protects the heads the model needs most (γ). Of the others, prunes those with the highest z_bias.",
    "fasp_robust": "Like FASP, but a z_bias that is mostly noise counts for little.",
    "fasp_joint": "Chooses the set as a whole: it closes gaps between groups and does not overshoot. May be smaller.",
    "fasp_multi": "Like noise-aware FASP, for several axes at once, weighted.",
    "fasp_iterative": "Prunes in stages and scores again after each. Found by Compare, or by a search in stages.",
    "bias_only": "Prunes the heads with the highest z_bias, whatever that costs in perplexity. A baseline.",
    "ppl_only": "Prunes the heads with the lowest z_ppl. A baseline.",
    "magnitude_l2": "Prunes the heads with the smallest weights. A baseline.",
    "mask_gradient_l2": "Prunes the heads whose gate changes the loss least. A baseline.",
    "activation_difference": "Prunes the heads whose output differs most between groups (after DiffHeads). A baseline.",
    "random": "Prunes heads at random. A baseline.",
}
RANKED = {  # which heads each method prunes; {s} is the ending of the verb for a single head
    "fasp": "that drive{s} the bias most",
    "fasp_robust": "that most surely drive{s} the bias",
    "fasp_joint": "that are expected to leave the least bias together",
    "fasp_multi": "that most surely drive{s} the weighted biases",
    "fasp_iterative": "that drive{s} the bias most, scored again at each stage",
    "bias_only": "that drive{s} the bias most",
    "ppl_only": "that the model needs least",
    "magnitude_l2": "with the smallest weights",
    "mask_gradient_l2": "whose gate changes the loss least",
    "activation_difference": "whose output differs most between groups",
    "random": "drawn at random",
}


def method_label(method: str) -> str:
    """A method for people, with its short name in brackets: `Published FASP (fasp)`."""
    return f"{METHODS[method]} ({method})"


def choice_sentence(method: str, n_heads: int, n_protected: int, n_pruned: int, *, drives: str = "the bias") -> str:
    """What γ and α mean for this model, by the numbers of heads that they protect and prune; what heads drive.

    >>> choice_sentence("fasp", 270, 81, 27)
    'Protect the 81 heads the model needs most; of the other 189, prune the 27 that drive the bias most.'
    """
    amount = "at most" if RULES[method].together else "the"
    ranked = RANKED[method].format(s="s" if n_pruned == 1 else "").replace("the bias", drives)
    which = f"{amount} {n_pruned:,} {ranked}" if n_pruned else "none"
    if not RULES[method].protects:
        return f"Of all {n_heads:,} heads, prune {which}. γ has no effect on this method."
    if not n_protected:
        return f"Protect no head; of all {n_heads:,}, prune {which}."
    protected = some_heads(n_protected)
    return f"Protect the {protected} the model needs most; of the other {n_heads - n_protected:,}, prune {which}."


# -- all pages -------------------------------------------------------------------------------------------------------

PURPOSE = "Find the attention heads that drive social bias in a language model, and see what removing them does."
NO_STUDY = "There is no study yet. Measure the default model first; this takes some ten minutes on two cores:"
NO_STUDY_THEN = "Then reload this page. Or start it in the app:"
TO_STUDIES = "Go to Studies"
DELETED_MEANWHILE = "Deleted while this page was drawn: {}. Reload the page, or choose another study."
NO_AXIS = "These scores hold perplexity only, no axis of bias. Score an axis, for example gender_and_sex."
MEASURED_BY = "Bias is measured by"
MEASURES = {"toxicity": "toxicity of its texts", "likelihood": "likelihood of toxic words"}
DETAIL_BY_AXIS = "What this head does to single groups and texts is shown for an axis: choose one above."
SCORED = {"continuation": "toxicity of continuations", "text": "toxicity of prompt and continuation"}
READ_VERDICT = "How to read this"
OPENED_HERE = "Shown first because it is the clearest bias of this study."
NO_CLEAR_BIAS_TO_SELECT_BY = (
    "**Select heads by this ranking?** Where no bias is clear, the ranking is mostly noise, and removing its top heads "
    "costs perplexity for nothing. Another axis or measure may have a clear bias."
)
SAMPLES_OF = {"toxicity": "sampled continuations", "likelihood": "readings of prompts with toxic and harmless words"}
SAVE_CHARTS = "The camera above a chart saves it as it is shown. SVG can be enlarged and edited, PNG opens everywhere."
COPY_LINK, LINK_COPIED = "Copy link", "Link copied"
COPY_LINK_HELP = "Copies the address of what you see. Whoever has the same studies sees the same view."
REVEAL = "The model wrote these texts to be measured; some of them are offensive."
HIDDEN = "(text hidden)"
HIDDEN_CSV = "The file holds the texts: switch on *Show texts* first."

# -- the tour ----------------------------------------------------------------------------------------------------------

TOUR = (  # heading and text of each step; their pages are in ui/tour.py
    (
        "What a head is",
        "A language model is built of layers, and each layer has some *attention heads*: small parts that decide which "
        "of the words so far the next word is made from. This box shows one of them. 13.1 is layer 13, head 1, both "
        "counted from 0.",
    ),
    (
        "What the two maps show",
        "Each cell is a head, each row a layer. **z_ppl** shows what the model needs: without a teal head it predicts "
        "ordinary text worse. **z_bias** shows what drives the bias: without an orange head the bias would be smaller.",
    ),
    (
        "What γ and α do",
        "**γ** is the share of heads to protect: those that the model needs most. **α** is the share of heads to "
        "prune: of the others, those that drive the bias most. Move them, and this page measures what pruning does.",
    ),
    (
        "How to read an interval",
        "Every number is measured on a sample, so it has an error: ± is one standard error. A 95\u00a0% interval is "
        "made so that it holds the true value in 95 of 100 such measurements. Where it includes 0, nothing is clear "
        "yet.",
    ),
    (
        "What not to conclude",
        "A smaller bias here is a smaller gap by one measure on these prompts: it does not make the model fair. Where "
        "no bias is clear, a ranking of heads is mostly noise. Heads are chosen on validation prompts, so report only "
        "what was measured on test prompts.",
    ),
)
TOUR_BACK, TOUR_NEXT, TOUR_DONE, TOUR_SKIP = "Back", "Next", "Done", "Skip"
TAKE_TOUR = "Help: take the tour"
TAKE_TOUR_HELP = "Five short steps on the pages themselves: heads, maps, γ and α, intervals, and what not to conclude."


def tour_at(step: int, n: int) -> str:
    """Where in the tour a step is, counted from 1."""
    return f"{step} of {n}"


def tour_label(title: str) -> str:
    """What a screen reader calls the box of a step."""
    return f"Tour: {title}"


# -- Heads -----------------------------------------------------------------------------------------------------------

MAPS = {
    "z_ppl": "**z_ppl** · what the model needs",
    "z_bias": "**z_bias** · what drives the bias",
    "z_toxicity": "**z_toxicity** · what drives toxicity",
}
NEIGHBOURS = {  # label and shortcut of the button that moves the chosen head: (layers down, heads to the right)
    ("Up", "Shift+Up"): (-1, 0),
    ("Down", "Shift+Down"): (1, 0),
    ("Left", "Shift+Left"): (0, -1),
    ("Right", "Shift+Right"): (0, 1),
}
TABLE_ROWS = {
    "all": "all",
    "clear": "those whose z_bias differs from zero",
    "protected": "protected",
    "unprotected": "unprotected",
    "pruned": "pruned",
}
SEVERAL = "Drag a box on a map or on the scatter plot to add its heads. A box over chosen heads removes them."
SUM_ERROR = "± is the standard error of the sum: all heads are scored on the same samples, so their errors go together."
SUM_WITHOUT_ERROR = "The error of a sum is known only where there are sampled texts."
IMPORTED_NO_SAMPLES = (
    "These scores were imported: there are no samples to look into. With the model itself, this shows the toxicity of "
    "each group with and without the head, and the texts that the head makes more likely."
)
TEXTS_ELSEWHERE = "For the texts that this head changes most, choose toxicity as the measure above."
GAPS = "How far each group lies from the mean of the groups, with the head and without it"
GAPS_SIGN = {
    "likelihood": "To the right: toxic words are likelier after prompts about this group than after the others. "
    "The bias is the sum of all distances.",
}
TIERS = {
    "gradient": "first order, from one backward pass over every sample",
    "gradient + knock-out": "first order on every sample, corrected by exact knock-outs on some",
    "knock-out": "exact knock-outs on every sample",
    "regenerated": "texts sampled again without the head",
}
GROUPS_ERROR = "± is one standard error. The change is measured on the same texts, so its error is smaller."
MEASURE_MORE = {"toxicity": "Collect samples", "likelihood": "Read more prompts"}
MEASURING_MORE = "More is being measured; this page shows the new scores as soon as that has ended."
_IN_BACKGROUND = "Runs in the background; watch or stop it on the page *Studies*."
MEASURE_MORE_HELP = {
    "toxicity": f"{_IN_BACKGROUND} More samples make the ranking more reliable; that page foretells by how much.",
    "likelihood": f"{_IN_BACKGROUND} Each prompt is read with more toxic and harmless words, which makes the ranking "
    "more reliable; that page foretells by how much.",
}

# -- Prune -----------------------------------------------------------------------------------------------------------

PRUNE_WITHOUT_MODEL = (
    "These scores were imported without their model, so nothing can be measured. You can select heads, see their "
    "predicted effect and download the configuration. With the model, scored on the page *Studies*, this page also "
    "measures perplexity and the bias of every axis after pruning, with intervals, and warns of damage."
)
NOT_USABLE = "not usable"
OTHER_MEASURES = "Other measures"
PREDICTED_SUM = (
    "The sum of the pruned heads' scores, each measured alone, with no error known. Heads chosen for high scores tend "
    "to do less than that: only the measurement below counts."
)
RELATIVE_SUM = (
    "No prediction: these scores are relative to the median head, not to the intact model, so they cannot be added up."
)
ONE_ERROR = "± is one standard error."
NOTHING_PRUNED = "No head is pruned, so there is nothing to measure. Raise α."
BUDGET = "Perplexity budget"
BUDGET_HELP = "The rise of perplexity that you accept. Beyond it the result says that pruning costs too much."
FIND_BEST, TAKE_BEST = "Find the best set", "Take this set"
FIND_BEST_HELP = (
    "Searches γ, α and methods by predicted effects and measures the most promising sets in the background, for some "
    "minutes. Sets measured before cost nothing."
)
SEARCH_FAILED = "The search failed:"
MARK_TOKENS = "Which tokens, and what it attends to"
MARK_HELP = "Reads these texts with and without the head, as a job, and keeps the result."
MARKED = (
    "Orange: the head makes the token likelier; blue: less likely. The stronger, the more; point at a token for its "
    "log-ratio. They sum to the text's."
)
ATTENTION = "What the head attends to on one of these texts. Many heads rest on the first token when they find nothing."
MARKING = "Reading the texts with and without the head"
MARKING_FAILED = "The texts could not be read:"
SCORECARD = (
    "The same heads, seen by other measures: sentence pairs, facts that should stay, ability on plain text. Each row "
    "is before → after with a 95 % interval, and says better, worse or no clear change."
)
SCORECARD_RUNS = "Reading sentences with and without these heads"
STOP_SCORECARD = "Stops the job. What was read is kept, and the rest is read when you measure again."
SCORECARD_ABSENT = "The scorecard of this set was not measured."
SCORECARD_FAILED = "The scorecard could not be measured:"
SCORECARD_COST = "Runs as a job: it evaluates the set where that was not done yet, and reads some hundred sentences."
TRY_IT, OWN_PROMPT, OWN_PROMPT_EXAMPLE = "Try a prompt of your own", "Prompt", "The new neighbour is"
TRY_HELP = (
    "The intact and the pruned model continue it with the same random numbers, three times. A look at single texts, "
    "not a measurement."
)
TRYING = "Opening the model and writing; this takes some seconds."
TRY_FAILED = "The prompt could not be continued:"
OTHER_AXES = "The other axes: "
OTHER_MEASURE = "The two studies are shown by different measures of bias; part of what differs may come from that."
CONFIRM = "Report results only on prompts that were not used for selection: heads are chosen on validation prompts."
CONFIGURATION_HELP = (
    "The pruned heads, the model and settings they belong to, and the measured effect once it is complete."
)
TYPE_A_HEAD = "Type 13.1"
EDIT_PRUNED = "The same as clicking on the map: add a head to prune it, remove it to keep it."
COMPENSATE = "What takes the place of the pruned heads"
COMPENSATIONS = {
    "none": "Nothing",
    "mean": "Their mean output",
    "least_squares": "The remaining heads take over",
}
COMPENSATED = {"none": "", "mean": "mean output", "least_squares": "taken over"}
COMPENSATE_HELP = (
    "The layers that lose heads are refitted on neutral text, without training. This saves perplexity. What the "
    "remaining heads can supply of a pruned one they supply, a bias included, so look at both."
)
PREDICTED_WITHOUT = "The prediction is for pruning with nothing in the heads' place."
CLICK_TO_PRUNE = "Click a head to prune it by hand, or to keep one that is pruned."
CUSTOM_SET = "Crossed out is a custom set of {}, made on the page Prune. Moving a slider discards it."
UNDO = "Back to the choice before this one."
HEADS_NOT_THERE = "The heads in the address are not all heads of this model; showing the method's choice."
OPEN_CONFIGURATION = "A configuration that this program exported, for a model of the same shape."

SETS = "Measured sets"
NO_SETS = "Every set that is measured appears here, to be kept, named and compared."
SETS_PLOT = (
    "Each point is a measured set; lower left is better. The dotted line is the Pareto front: no other set has less of "
    "both. A click opens a set. All filled points were measured on the same texts or prompts."
)
SETS_APART = (
    "Hollow grey points were measured on fewer or other texts or prompts: they are not compared and not on the front."
)


def measured_on(evaluation: Evaluation) -> str:
    """What a measurement was made on, and how far it is."""
    prompts = {"valid": "validation", "test": "test"}[evaluation.split]
    size = measured_size(evaluation.n_texts, evaluation.n_readings, evaluation.n_windows)
    heads = f"{some_heads(len(evaluation.pruned))} pruned"
    if not evaluation.done:
        return f"**{measurement_state(evaluation)}**: {size} so far, {heads}. Not a result yet."
    return f"{heads}, measured on {size} of {prompts} prompts. Intervals are 95\u00a0%."


def measurement_state(evaluation: Evaluation) -> str:
    """How far a measurement is: `Measurement 8 % complete (validation prompts)`."""
    prompts = {"valid": "validation", "test": "test"}[evaluation.split]
    return f"Measurement {100 * evaluation.fraction_done:.0f}\u00a0% complete ({prompts} prompts)"


def no_best(n: int, limit: float) -> str:
    """That none of `n` measured sets is good enough."""
    sets = "set has" if n == 1 else "sets has"
    return f"None of the {n} measured {sets} a lower bias at no more than {100 * limit:.0f}\u00a0% more perplexity."


def predicted_beyond(what: list[str]) -> str:
    """Why the prediction of `what` is not usable."""
    return f"For {' and '.join(what)} it exceeds the measured value of the intact model: mostly noise, so not usable."


# -- Compare ---------------------------------------------------------------------------------------------------------

COMPARE_WITHOUT_MODEL = (
    "These scores were imported without their model, so methods cannot be measured on it. The page *Prune* shows which "
    "heads each method would prune; with the model, scored here, this page compares what they do."
)
NO_COMPARISON = (
    "Nothing has been compared yet. A comparison prunes the model by several methods, at several α, and measures the "
    "change of bias and perplexity. It can be stopped and resumed, and shows results as they come in."
)
CHOOSING_GAMMA = "γ is still being chosen on valid prompts; results on test prompts follow."
INCOMPLETE = "This comparison is not complete: these are the results so far."
BELOW_0 = "Below 0: less {} than the intact model. Intervals are 95 %."
PPL_CURVE = "Above 0: the model got worse. Intervals are 95 %."
TRADE_OFF = (
    "Lower left is better. The dotted line is the Pareto front: no other point has less of both. Where intervals "
    "overlap, points may trade places in a longer measurement; *Model against model* tells more."
)
ALL_ROWS = "Valid and test prompts, every seed, with intervals and heads; also the differences between models."
AGAINST = "Against"
DIFFERENCES = (
    "Both models on the same test prompts, at the same α, in % of what the other one leaves; in brackets 95\u00a0% "
    "intervals. Below 0: less than the other. What two models share of noise cancels, so this tells them apart better "
    "than their intervals against the intact model do."
)
DIFFERENCE_HELP = "Of this model from the other one, in % of what the other one leaves."
NO_DIFFERENCES = (
    "Nothing to compare: this needs FASP or random heads among the methods, and a comparison that this version of the "
    "program has finished."
)
SUMMARY = "Change of {} within a perplexity budget"
SUMMARY_NOTE = (
    "On test prompts, at the α with the lowest bias within the budget, both judged on validation prompts; what was not "
    "measured there is shown at the largest α within the budget. In brackets 95 % intervals, each for itself: no clear "
    "change where one includes 0, and of many that leave it out some do so by chance."
)
NO_SET_FITS = "no set of heads"
ONE_BIAS = "Only one bias was measured. Start a comparison that measures more of them to see side effects."
PREDICTED = (
    "On the dashed line, the effects of single heads add up exactly. Off it, heads interact, or the scores that chose "
    "them were noise: heads chosen for high scores tend to do less than their scores say."
)


NO_PREDICTIONS = (
    "There is no prediction of these points: the scores of single heads say nothing of what takes the heads' place."
)


def same_heads(method: str, same: str) -> str:
    """That two methods chose the same heads everywhere, so that one curve stands for both."""
    return f"{method_label(method)} chose the same heads as {method_label(same)} everywhere, and is left out."


def predictions_left_out(n: int) -> str:
    """How many predictions are not drawn, and why."""
    return f"{n} {'prediction is' if n == 1 else 'predictions are'} not usable and left out: below 0 after pruning."


COMPARED_METHODS = (
    "fasp_multi needs several scored axes to differ from fasp_robust. fasp_iterative takes longest: it scores heads "
    "again at every stage, for each γ and for each thing in the heads' place."
)
COMPARED_WAYS = (
    "Every method is measured with each. Where the remaining heads take over, heads are chosen by the scores under "
    "compensation, if the study has them."
)
STAGES = "Before that, fasp_iterative scores heads again in up to {} {}{}; stages of earlier runs are kept."
COMPARED_ALPHAS = "Separated by commas, or as first:last:step."
COMPARED_GAMMAS = "The best of them is chosen for each method and α on valid prompts."
COMPARED_AXES = "More axes show side effects, and take that many times longer."
SEEDS = "Each seed measures everything with other noise; the random method prunes other heads."
BLOCKS = (
    "Size of a test measurement, in blocks of about 18 texts, or by likelihood of about 12 prompts. Valid prompts get "
    "40 % of it."
)
TIME_OF_A_SET = "Measuring one set takes {} on this machine."
STOP_RUN = "What is measured is kept; the same, started again, goes on from there."
RUN_ENDED = {
    "failed": "failed",
    "lost": "ended unexpectedly",
    "cancelled": "was stopped; start it again to resume",
    "damaged": "cannot be followed",
}

# -- Correlations ----------------------------------------------------------------------------------------------------

CORRELATIONS = {"pearson": "Pearson (values)", "spearman": "Spearman (ranks)"}
AMONG = {"all": "all heads", "unprotected": "unprotected heads"}
SHOW_EXAMPLE = "Example: published scores of GPT-2"
EXAMPLE = (
    "All 144 heads on five axes, as the authors of FASP published them (arXiv 2312.15398). They come with this "
    "program; there is no model to measure with."
)
MATRIX = "Below the diagonal the correlation, above it its 95\u00a0% interval; faded where that includes 0."
CLICK_A_POINT = "Each point is a head. Click one to see it on every axis."
AXIS_AGAINST_AXIS = "z_bias by head, axis against axis"

SHARED_WORDS = (
    "By likelihood all axes are read with the same words, so part of their errors is shared and correlates too."
)


def correlation_caveats(unclear: list[str], metric: str) -> list[str]:
    """What to know before correlations of biases by `metric` are believed; `unclear` are axes without a clear bias."""
    caveats = [SHARED_WORDS] if metric == "likelihood" else []
    if unclear:
        caveats.append(f"No bias is clear for {', '.join(unclear)}: there the scores are mostly noise.")
    return caveats


AGREEMENT = "Do measures of one bias agree?"
SHOW_AGREEMENT = "Compare the measures"
AGREEMENT_HELP = (
    "Published measures of bias agree little with each other. This compares how they order the same heads, and the "
    "same pruned sets."
)
AGREE_OVER = {"heads": "heads", "sets": "measured sets"}
AGREEMENT_MATRIX = {
    "heads": "Spearman over the {:,} heads that γ leaves unprotected: z_bias by each measure, and z_ppl. Intervals by "
    "a bootstrap over heads; faded where they include 0 or the data cannot tell.",
    "sets": "Spearman over {:,} sets measured on validation prompts: how much worse each measure found a set, so above "
    "0 measures agree. Intervals by a bootstrap over sets; faded where they include 0 or the data cannot tell.",
}
NO_AGREEMENT = {
    "heads": "There are not two measures of this axis over the heads.",
    "sets": "No set was measured to the end on validation prompts yet: measure some on the page *Prune*, and their "
    "scorecards for more measures.",
}

# -- Continuations ---------------------------------------------------------------------------------------------------

TEXTS = {"study": "Texts of the study", "pairs": "Before and after pruning"}
ORDERS = {"toxic": "most toxic first", "mild": "least toxic first", "drawn": "as drawn"}
SAME_NOISE = (
    "Both were drawn with the same random numbers, so pruning caused the first word that differs; the words after it "
    "follow from that."
)
MARK_PAIRS_HELP = "Shows which tokens pruning makes likelier or less likely, in place of the words that differ."
MARK_PAIRS_COST = "Reads all texts of this axis with the intact and the pruned model, as a job, and keeps the result."
MARKED_PAIRS = (
    "Orange: the pruned heads made the token likelier; blue: less likely. The stronger, the more; point at a token for "
    "its log-ratio, pruned against intact. They sum to the text's."
)
NOT_MARKED = "The tokens of these texts were not marked."
UNCHANGED = "The pruned model writes the same."
NO_PAIRS = (
    "No pruned set of heads has been measured on texts of this axis yet. Choose one on the page *Prune*, by toxicity: "
    "its texts then appear here beside those of the intact model. By likelihood nothing is written."
)


def no_texts_of(axes: list[str]) -> str:
    """That a study holds no texts of an axis; `axes` are those it has some of."""
    there = f" There are texts of: {', '.join(axes)}." if axes else ""
    return f"This axis was scored by likelihood, for which the model writes no texts.{there}"


NO_PAIRED_TEXTS = "No text of this set is on this machine yet: open the page *Prune* to have it measured."
NO_MATCH = "No text matches. Lower the toxicity, choose all groups, or search for something else."
NO_TEXTS = (
    "These scores were imported, so there are no texts. A study that was measured with its model holds what the model "
    "wrote, with the toxicity of each text."
)

# -- Export ----------------------------------------------------------------------------------------------------------

CONFIGURATION = "The pruned heads, the model they belong to, how they were chosen and what was measured. Loads back."
REPORT = "One file to read and to send: figures, settings, intervals, reliability, the method. Opens offline."
EXPORT_EXPLORATORY = (
    "Nothing of this set was measured on test prompts, which the choice of heads has not seen: what the files below "
    "say is exploratory. Measure it on test here or on the page *Prune* before you claim anything."
)
NOT_EXPORTED = "Its numbers are left out of the files below until it is complete: open the page *Prune*."
WRITING = "The checkpoint is being written. The job goes on when this page is closed."
STOP_EXPORT = "Stops the job; no part of a checkpoint is kept."
VERIFYING = "Written. Now it is loaded again and compared with the model that was measured …"
VERIFIED = "Verified: the checkpoint computes the same as the model with these heads switched off."
TOO_LARGE = "It is too large to be sent through the browser; copy the folder."
EXPORT_WITHOUT_MODEL = (
    "Imported scores have no model here, so no checkpoint can be made: only the configuration and the report."
)


def chosen_how(selection: Selection, compensate: str) -> str:
    """How heads were chosen, and what takes their place."""
    by_hand = selection.method not in METHODS
    shares = f"γ = {selection.gamma:g}, α = {selection.alpha:g}"
    how = "Chosen by hand" if by_hand else f"Method: {method_label(selection.method)}, {shares}"
    return f"{how}. {COMPENSATE}: {COMPENSATIONS[compensate].lower()}."


def measured_splits(results: list[Evaluation]) -> str:
    """On which prompts a selection was measured to the end."""
    names = [{"valid": "validation", "test": "test"}[result.split] for result in results]
    return f"Measured on {' and '.join(names)} prompts." if names else "Not measured yet."


# -- Studies ---------------------------------------------------------------------------------------------------------

FOR_LOOKING = "This app is for looking: studies are started and changed by those who run it."
NO_CHECKPOINT = "Checkpoints are made by those who run this app; the configuration above is all they need for it."
LOGIN = "Log in to see the studies."
NO_STUDIES = "There is no study yet. Start one: the default model and the quick budget need no download."
NO_JOB = "No job has been started. Jobs continue when the browser is closed and when the app is restarted."
JOB_STATES = {
    "running": ("Running", "blue"),
    "done": ("Done", "green"),
    "failed": ("Failed", "red"),
    "cancelled": ("Stopped", "orange"),
    "lost": ("Lost", "red"),
    "queued": ("Waiting", "grey"),
    "damaged": ("Damaged", "red"),
}
JOB_ENDED = {
    "done": "is done",
    "failed": "has failed",
    "cancelled": "is stopped",
    "lost": "was lost",
    "damaged": "is damaged",
}
OPEN_STUDY = "Open the study"
STARTING = "Starting; the model is opened first."
WAITS_FOR_TURN = "Waiting for its turn: one job at a time measures on a device."
WAITING = "Place {} in the queue: one job at a time measures on a device."
OLDER_JOBS = "{} older jobs are not shown; remove some to see them."
STOP_JOB = "Stops the job; what is finished is kept, and *Resume* continues from there."
STOP_AND_FORGET = "Stops the job and takes it off this list. Finished work is kept."
RESUME = "Continues after the last finished part."
REMOVE = "Takes the job off this list. What it measured is kept."
JOB_AT_WORK = "A job is working on this study; stop it first."
JOB_STARTED = "Started. It is in the list of jobs above."
EXTEND = "An existing study is extended: by more axes, or by a larger budget."
IN_STAGES = "Also in stages"
IN_STAGES_HELP = (
    "First prunes a few heads at a time, scores the others in the model without them and measures perplexity, until "
    "the budget is used up (fasp_iterative). Each stage takes about a minute more."
)
BY_ANNEALING = "By annealing"
BY_ANNEALING_HELP = (
    "In place of the sets that methods choose: a surrogate of what sets do begins from the scores of single heads, "
    "simulated annealing proposes the set that it likes best, and each measured set corrects it. As many sets are "
    "measured."
)
ALSO_COMPENSATED = "Also score under compensation"
ALSO_COMPENSATED_HELP = (
    "By likelihood a second time: what is lost with a head once the layer's other heads have taken over. Where the "
    "remaining heads take over, these scores choose the heads. Takes as much again of text and readings."
)
ON_CLUSTER = "On the cluster"
CLUSTER = "Measured by the workers of the Ray cluster at {address}; the study comes out the same."
MODELS = {"default": "Default", "hub": "Hub", "folder": "Folder", "gguf": "GGUF file"}
MODEL_ASKS = {  # label, placeholder, help
    "hub": ("Hub id", "gpt2", "As on huggingface.co, such as gpt2 or Qwen/Qwen3-0.6B."),
    "folder": ("Folder", "", "What save_pretrained wrote: config.json, safetensors and the tokenizer."),
    "gguf": ("File", "", "A .gguf file; it is converted when it is opened."),
}
BUDGETS = {
    "quick": "Quick",
    "standard": "Standard",
    "paper": "As published: every head sampled again",
    "minutes": "Fixed time",
    "reliability": "Until the ranking of heads is reliable",
}
AIM = "Rank correlation expected between this ranking and a second measurement of the same size; on every axis."
PROMPTS = "A folder of HolisticBias v1.1, a social_biases_valid.json, or a .csv with columns prompt, axis, group."
PROMPTS_UPLOAD = "A .csv with the columns prompt, axis, group. It is used instead of the field above."
TEXT = "wikitext-2, a UTF-8 text file, or a folder of valid.txt and test.txt."
SCORER = (
    "Or a file of Detoxify: detoxify:PATH, or any classifier: hf:FOLDER_OR_ID#LABEL. A function of your own is listed "
    "when the app is started."
)
BEST_SCORER = "Best available"


def on_page(message: str) -> str:
    """A message of the command line in the words of the page: options are fields there."""
    for option, field in IMPORT_FIELDS.items():
        message = message.replace(option, field)
    return message


IMPORT_FIELDS = {
    "choose another name with --name, or replace it with --force": "type another name, or type this one to replace it",
    "choose another name with --name": "type another name",
    "--model": "the field Model",
    "--layers": "the field Layers",
    "--name": "the field Name",
}


def jobs_at_work(running: int, waiting: int, left: TimeLeft) -> str:
    """How many jobs run and wait, and the time left for them.

    >>> jobs_at_work(1, 2, TimeLeft(200.0, at_least=True))
    '1 job at work, 2 waiting · at least 3 min 20 s left'
    """
    jobs = f"{running} {'job' if running == 1 else 'jobs'} at work" + (f", {waiting} waiting" if waiting else "")
    if left.seconds is None:
        return f"{jobs} · time left not known yet"
    return f"{jobs} · {'at least' if left.at_least else 'about'} {duration(left.seconds)} left"


DOWNLOADING = "Its weights are being downloaded; the job is in the list above."
DOWNLOAD_HELP = "Downloads the weights and their base model as a job; this needs the internet. Nothing loads unasked."
BUSY = "The machine is busy with other work now: it will take longer than that."
ALL_MEASURED = "All of this is measured already."
COST_UNKNOWN = "The cost is known once the model is on this machine; a job can be stopped at any time."
SCORE_FILE = "head_scores_MODEL.csv or head_contributions.json of the FASP repository, or a table that this app wrote."
IMPORTING = "The file is large: a job reads it, which is in the list above. The study is there when it is done."
LAYERS = "Needed where the file does not give them. 0: it does, or the model is well known."
